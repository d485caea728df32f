// Splits a client's byte stream into messages, and pauses the socket while no message is requested.
// Does not depend on their content.

import { ProtocolViolation } from './protocol.mjs';

/** Largest start-up packet and largest message, in bytes. */
const START_UP_LIMIT = 10_000;
const MESSAGE_LIMIT = 1 << 30;
const TYPES = new Set([...'QPBDECSHFXdcfp'].map((letter) => letter.charCodeAt(0)));
const COPY_DATA = 'd'.charCodeAt(0);

export class FrameReader {
  constructor(socket) {
    this.socket = socket;
    this.chunks = [];
    this.length = 0;
    this.ended = false;
    this.copyDataLeft = 0;
    this.wake = () => {};
    socket.on('data', (chunk) => {
      this.chunks.push(chunk);
      this.length += chunk.length;
      this.wake();
    });
    const end = () => {
      this.ended = true;
      this.wake();
    };
    for (const event of ['end', 'error', 'close']) socket.on(event, end);
    socket.pause();
  }

  /**
   * Returns the start-up message, which has no type letter, or null if the client has disconnected.
   */
  async startUp() {
    if (!(await this.has(4))) return null;
    const size = this.peek(4).readInt32BE(0);
    if (size < 8 || size > START_UP_LIMIT) throw new ProtocolViolation('invalid length of startup packet');
    return (await this.has(size)) ? this.take(size) : null;
  }

  /**
   * Returns the next complete message, or null if the client has disconnected. A large CopyData is
   * split into smaller ones.
   */
  async next() {
    if (this.copyDataLeft > 0) return this.copyDataPiece();
    if (!(await this.has(5))) return null;
    const head = this.peek(5);
    const size = head.readInt32BE(1) + 1;
    if (!TYPES.has(head[0])) throw new ProtocolViolation(`invalid frontend message type ${head[0]}`);
    if (size < 5 || size > MESSAGE_LIMIT) throw new ProtocolViolation('invalid message length');
    if (head[0] === COPY_DATA && size > this.length) {
      this.take(5);
      this.copyDataLeft = size - 5;
      return this.copyDataPiece();
    }
    return (await this.has(size)) ? this.take(size) : null;
  }

  /**
   * Returns the part of a large CopyData that has arrived, so that its size does not cost memory.
   */
  async copyDataPiece() {
    if (!(await this.has(1))) return null;
    const body = this.take(Math.min(this.length, this.copyDataLeft));
    this.copyDataLeft -= body.length;
    const head = Buffer.alloc(5);
    head[0] = COPY_DATA;
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  }

  async has(bytes) {
    while (this.length < bytes && !this.ended) {
      this.socket.resume();
      await new Promise((resolve) => {
        this.wake = resolve;
      });
      this.socket.pause();
    }
    return this.length >= bytes;
  }

  peek(bytes) {
    if (this.chunks[0].length < bytes) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0].subarray(0, bytes);
  }

  take(bytes) {
    const taken = this.peek(bytes);
    this.length -= bytes;
    if (taken.length === this.chunks[0].length) this.chunks.shift();
    else this.chunks[0] = this.chunks[0].subarray(bytes);
    return taken;
  }
}
