// The one backend and the queue of those who want it; does not know clients' sockets or what they ask.

import { errorFields, query, rowValues } from './protocol.mjs';
import { ReplyScanner } from './reply-scanner.mjs';

/** An error of the database, with its five-character code. */
export class DatabaseError extends Error {
  constructor(fields) {
    super(fields.M);
    this.code = fields.C;
  }
}

export class Backend {
  constructor(engine) {
    this.engine = engine;
    this.scanner = new ReplyScanner();
    this.owner = null;
    this.queue = [];
    this.sink = null;
    /** Which session's settings the backend holds now; null: unknown. */
    this.appliedSettings = null;
    /** Grows whenever prepared statements of all clients were dropped (DISCARD ALL, DEALLOCATE ALL). */
    this.statementEpoch = 0;
    /** Who made temporary tables: they all live in the one backend, and are dropped when the last of these ends. */
    this.temporaryOwners = new Set();
    engine.onOutput = (output) => this.receive(Buffer.from(output.buffer, output.byteOffset, output.length));
  }

  /** Resolves when `owner` has the backend for itself; first come, first served. */
  acquire(owner) {
    if (!this.owner) {
      this.owner = owner;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.queue.push({ owner, resolve }));
  }

  release() {
    this.sink = null;
    const next = this.queue.shift();
    this.owner = next?.owner ?? null;
    next?.resolve();
  }

  receive(output) {
    let unsent = 1;
    const done = () => --unsent || this.engine.sent(output.length);
    const sink = this.sink ?? { message: () => false };
    this.scanner.push(output, {
      wantsRows: sink.wantsRows,
      message: (type, bytes) => sink.message(type, bytes),
      bytes: (bytes) => {
        unsent++;
        sink.bytes(bytes, done);
      },
    });
    done();
  }

  send(bytes) {
    return this.engine.write(bytes);
  }

  /** Runs SQL of the server's own and returns the rows, as text, of all its statements. The caller is the owner. */
  query(sql) {
    return this.exchange(query(sql));
  }

  /** Sends messages of the server's own, up to one ReadyForQuery; returns the rows as text. */
  async exchange(messages) {
    const before = this.sink;
    const rows = [];
    let failure = null;
    await new Promise((resolve) => {
      this.sink = {
        wantsRows: true,
        message: (type, bytes) => {
          if (type === 'D') rows.push(rowValues(bytes));
          if (type === 'E') failure ??= new DatabaseError(errorFields(bytes));
          if (type === 'Z') resolve();
          return false;
        },
      };
      this.send(messages);
    });
    this.sink = before;
    if (failure) throw failure;
    return rows;
  }
}
