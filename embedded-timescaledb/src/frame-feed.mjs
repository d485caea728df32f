// Hands the backend its input in pieces that it can be given safely; knows where messages begin and end, not what they say.

const HEADER = 5; // type and length
const COPY_DATA = 'd'.charCodeAt(0);

/**
 * The backend returns after a message unless its own buffer held more when that message began. What it read ahead
 * during a COPY would be left in that buffer, out of reach: so it never gets more than one message at a time, or several
 * CopyData.
 */
export class FrameFeed {
  constructor(ring) {
    this.ring = ring;
    this.left = 0; // bytes of a message that was begun
  }

  /** Blocks until a message can be begun; false means stop. */
  wait() {
    return this.ring.waitFor(HEADER);
  }

  /** Copies input to `target` at `at`, at most `max` bytes, at least one; blocks until it can. */
  read(target, at, max) {
    if (!this.ring.waitFor(this.left > 0 ? 1 : HEADER)) throw new Error('stopped in the middle of a message');
    const available = Math.min(max, this.ring.unread());
    let taken = Math.min(this.left, available);
    this.left -= taken;
    while (this.left === 0 && available - taken >= HEADER) {
      const isCopyData = this.ring.peek(taken) === COPY_DATA;
      if (taken > 0 && !isCopyData) break;
      const size = this.size(taken);
      const part = Math.min(size, available - taken);
      taken += part;
      this.left = size - part;
      if (!isCopyData) break;
    }
    return this.ring.read(target, at, taken);
  }

  size(at) {
    let length = 0;
    for (let index = 1; index < HEADER; index++) length = length * 256 + this.ring.peek(at + index);
    return length + 1;
  }
}
