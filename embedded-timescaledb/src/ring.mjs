// Passes bytes from the server thread to the database thread through shared memory. Does not depend
// on their content.

// Indexes into the control words. WRITTEN and READ only increase and wrap at 32 bits; their
// difference is the number of unread bytes.
const WRITTEN = 0;
const READ = 1;
const STOP = 2;
const UNSENT = 3;
const STARVED = 4;

/** Size of the ring, and the largest amount of unsent output, in bytes. */
const CAPACITY = 1 << 20;
const UNSENT_LIMIT = 4 << 20;

export function createShared() {
  return { control: new SharedArrayBuffer(5 * 4), data: new SharedArrayBuffer(CAPACITY) };
}

/** Returns the distance between two positions across the 32-bit wrap. */
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

/** The writing end, used by the server thread. It never blocks. */
export class RingWriter extends Ring {
  /** Copies as many bytes as fit, and returns their number: 0 if the ring is full. */
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

  /** Returns true if the reader will report free space, and false if there is space already. */
  awaitSpace() {
    Atomics.store(this.control, STARVED, 1);
    return this.unread() === CAPACITY;
  }

  /** Reports output that has left this process, so that the database thread may produce more. */
  sent(bytes) {
    Atomics.sub(this.control, UNSENT, bytes);
    Atomics.notify(this.control, UNSENT);
  }

  stop() {
    Atomics.store(this.control, STOP, 1);
    Atomics.notify(this.control, WRITTEN);
  }
}

/** The reading end, used by the database thread. It blocks that thread. */
export class RingReader extends Ring {
  constructor(shared, onSpace) {
    super(shared);
    this.onSpace = onSpace;
  }

  /** Blocks until at least `least` bytes are available. Returns false if the server is stopping. */
  waitFor(least) {
    for (;;) {
      const written = Atomics.load(this.control, WRITTEN);
      if (distance(written, Atomics.load(this.control, READ)) >= least) return true;
      if (Atomics.load(this.control, STOP)) return false;
      Atomics.wait(this.control, WRITTEN, written);
    }
  }

  /** Returns the unread byte at this offset. */
  peek(offset) {
    return this.data[(Atomics.load(this.control, READ) + offset) & (CAPACITY - 1)];
  }

  /** Copies up to `max` unread bytes to `target` at `at`, and returns their number. */
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

  /**
   * Blocks while too much output waits for a slow client, which bounds the memory of large results.
   */
  produced(bytes) {
    Atomics.add(this.control, UNSENT, bytes);
    for (;;) {
      const unsent = Atomics.load(this.control, UNSENT);
      if (unsent <= UNSENT_LIMIT || Atomics.load(this.control, STOP)) return;
      Atomics.wait(this.control, UNSENT, unsent);
    }
  }
}
