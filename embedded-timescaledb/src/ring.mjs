// Bytes from the server thread to the database thread through shared memory; does not know what they mean.

const WRITTEN = 0; // positions count up for ever and wrap at 32 bits: their difference is what is unread
const READ = 1;
const STOP = 2;
const UNSENT = 3;
const STARVED = 4;

const CAPACITY = 1 << 20;
const UNSENT_LIMIT = 4 << 20;

export function createShared() {
  return { control: new SharedArrayBuffer(5 * 4), data: new SharedArrayBuffer(CAPACITY) };
}

/** Bytes a position is behind another, over the 32-bit wrap. */
const distance = (to, from) => (to - from) >>> 0;

class Ring {
  constructor({ control, data }) {
    this.control = new Int32Array(control);
    this.data = new Uint8Array(data);
  }

  unread() {
    return distance(Atomics.load(this.control, WRITTEN), Atomics.load(this.control, READ));
  }
}

/** The end that never blocks: it belongs to the server thread. */
export class RingWriter extends Ring {
  /** Copies what fits; returns the number of bytes taken, 0 when full. */
  write(bytes, from) {
    const position = Atomics.load(this.control, WRITTEN);
    const length = Math.min(bytes.length - from, CAPACITY - this.unread());
    if (length === 0) return 0;
    const start = position & (CAPACITY - 1);
    const first = Math.min(length, CAPACITY - start);
    this.data.set(bytes.subarray(from, from + first), start);
    if (first < length) this.data.set(bytes.subarray(from + first, from + length), 0);
    Atomics.store(this.control, WRITTEN, (position + length) | 0);
    Atomics.notify(this.control, WRITTEN);
    return length;
  }

  /** True when the reader will report space; false when there is space already. */
  awaitSpace() {
    Atomics.store(this.control, STARVED, 1);
    return this.unread() === CAPACITY;
  }

  /** Output that has left this process: lets the database thread produce more. */
  sent(bytes) {
    Atomics.sub(this.control, UNSENT, bytes);
    Atomics.notify(this.control, UNSENT);
  }

  stop() {
    Atomics.store(this.control, STOP, 1);
    Atomics.notify(this.control, WRITTEN);
  }
}

/** The end that blocks its thread: it belongs to the database thread. */
export class RingReader extends Ring {
  constructor(shared, onSpace) {
    super(shared);
    this.onSpace = onSpace;
  }

  /** Blocks until at least `least` bytes are there; false means stop. */
  waitFor(least) {
    for (;;) {
      const written = Atomics.load(this.control, WRITTEN);
      if (distance(written, Atomics.load(this.control, READ)) >= least) return true;
      if (Atomics.load(this.control, STOP)) return false;
      Atomics.wait(this.control, WRITTEN, written);
    }
  }

  /** The unread byte at this offset. */
  peek(offset) {
    return this.data[(Atomics.load(this.control, READ) + offset) & (CAPACITY - 1)];
  }

  /** Copies up to `max` unread bytes to `target` at `at`; returns how many. */
  read(target, at, max) {
    const position = Atomics.load(this.control, READ);
    const start = position & (CAPACITY - 1);
    const length = Math.min(max, this.unread());
    const first = Math.min(length, CAPACITY - start);
    target.set(this.data.subarray(start, start + first), at);
    if (first < length) target.set(this.data.subarray(0, length - first), at + first);
    Atomics.store(this.control, READ, (position + length) | 0);
    if (Atomics.load(this.control, STARVED) && this.unread() <= CAPACITY / 2) {
      Atomics.store(this.control, STARVED, 0);
      this.onSpace();
    }
    return length;
  }

  /** Blocks while too much output waits for a slow client: this is what bounds the memory of large results. */
  produced(bytes) {
    Atomics.add(this.control, UNSENT, bytes);
    for (;;) {
      const unsent = Atomics.load(this.control, UNSENT);
      if (unsent <= UNSENT_LIMIT || Atomics.load(this.control, STOP)) return;
      Atomics.wait(this.control, UNSENT, unsent);
    }
  }
}
