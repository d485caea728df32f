// Gives the backend its input in pieces that are safe for it. Depends on the boundaries of
// messages, not on their content.

const HEADER = 5; // type and length
const COPY_DATA = 'd'.charCodeAt(0);

/**
 * A feed of one message at a time, or of several CopyData messages.
 *
 * The backend returns after each message, unless its buffer contained more when the message began.
 * Bytes that it reads ahead during a COPY would stay in that buffer, out of reach.
 */
export class FrameFeed {
  constructor(ring) {
    this.ring = ring;
    this.left = 0; // bytes of the current message that were not read yet
  }

  /** Blocks until the header of a message is available. Returns false if the server is stopping. */
  wait() {
    return this.ring.waitFor(HEADER);
  }

  /**
   * Copies between 1 and `max` bytes of input to `target` at `at`; blocks until input is available.
   */
  read(target, at, max) {
    if (!this.ring.waitFor(this.left > 0 ? 1 : HEADER)) {
      throw new Error('the server stopped in the middle of a message');
    }
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
