// Scans the backend's output message by message, regardless of how it is split into chunks. Does
// not depend on the receiver.

const BULK = new Set([...'Dd'].map((letter) => letter.charCodeAt(0)));

/**
 * A scanner that calls `sink.message(type, bytes)` for every message except rows and COPY data,
 * which can be large and pass through in pieces. The call returns whether the message is passed on.
 * `sink.bytes(chunk)` receives everything that is passed on.
 */
export class ReplyScanner {
  constructor() {
    this.bulkLeft = 0;
    this.partial = null;
  }

  push(chunk, sink) {
    if (this.partial) {
      chunk = Buffer.concat([this.partial, chunk]);
      this.partial = null;
    }
    let from = 0;
    let at = Math.min(this.bulkLeft, chunk.length);
    this.bulkLeft -= at;
    while (chunk.length - at >= 5) {
      const size = chunk.readUInt32BE(at + 1) + 1;
      if (BULK.has(chunk[at]) && !sink.wantsRows) {
        this.bulkLeft = Math.max(0, at + size - chunk.length);
        at = Math.min(at + size, chunk.length);
        continue;
      }
      if (at + size > chunk.length) break;
      const passed = sink.message(String.fromCharCode(chunk[at]), chunk.subarray(at, at + size));
      if (!passed) {
        if (at > from) sink.bytes(chunk.subarray(from, at));
        from = at + size;
      }
      at += size;
    }
    if (at > from) sink.bytes(chunk.subarray(from, at));
    if (at < chunk.length) this.partial = chunk.subarray(at);
  }
}
