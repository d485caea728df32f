// A client that sends single protocol messages, for tests that drivers cannot express.

import { once } from 'node:events';
import { connect } from 'node:net';
import { errorFields, int32, message } from '../../src/protocol.mjs';

const int16 = (value) => Buffer.from([value >> 8, value & 255]);

export const parse = (name, sql) => message('P', name, sql, int16(0));
export const bind = (portal, name) => message('B', portal, name, int16(0), int16(0), int16(0));
export const describe = (kind, name) => message('D', Buffer.from(kind), name);
export const execute = (portal, rows = 0) => message('E', portal, int32(rows));
export const sync = message('S');
export const flush = message('H');
export const query = (sql) => message('Q', sql);
export const copyData = (data) => message('d', Buffer.from(data));
export const copyDone = message('c');
export const copyFail = (reason) => message('f', reason);

export function startUp(parameters = { user: 'postgres', database: 'tidegauge' }) {
  const body = Buffer.from(`${Object.entries(parameters).flat().join('\0')}\0\0`);
  return Buffer.concat([int32(body.length + 8), int32(196608), body]);
}

export class RawClient {
  constructor(port) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setNoDelay();
    this.data = Buffer.alloc(0);
    this.closed = false;
    this.wake = () => {};
    this.socket.on('data', (data) => {
      this.data = Buffer.concat([this.data, data]);
      this.wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
  }

  static async open(port, parameters) {
    const client = new RawClient(port);
    client.send(startUp(parameters));
    await client.upTo('Z');
    return client;
  }

  send(...messages) {
    this.socket.write(Buffer.concat(messages));
  }

  /** Returns the next message as `{ type, bytes }`, or null if the server closed the connection. */
  async next() {
    for (;;) {
      if (this.data.length >= 5 && this.data.length > this.data.readInt32BE(1)) {
        const size = this.data.readInt32BE(1) + 1;
        const bytes = this.data.subarray(0, size);
        this.data = this.data.subarray(size);
        return { type: String.fromCharCode(bytes[0]), bytes };
      }
      if (this.closed) return null;
      await new Promise((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /**
   * Returns the type letters of all messages up to the first of type `last`. Errors are `E<code>`,
   * and `Z` includes its status.
   */
  async upTo(last) {
    const seen = [];
    for (;;) {
      const found = await this.next();
      if (!found) return [...seen, 'closed'];
      const { type, bytes } = found;
      if (type === 'E') seen.push(`E${errorFields(bytes).C}`);
      else if (type === 'Z') seen.push(`Z${String.fromCharCode(bytes[5])}`);
      else if (type !== 'N') seen.push(type);
      if (type === last) return seen;
    }
  }

  async close() {
    if (this.closed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }
}
