// The single backend, and the queue of sessions that wait for it. Does not depend on sockets or on
// the content of messages.

import { errorFields, query, rowValues } from './protocol.mjs';
import { ReplyScanner } from './reply-scanner.mjs';

/** An error from the database, with its SQLSTATE code. */
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
    /** Key of the settings that the backend has now; null if unknown. */
    this.appliedSettings = null;
    /**
     * Counts how often the prepared statements of all clients were dropped (DISCARD ALL, DEALLOCATE
     * ALL).
     */
    this.statementEpoch = 0;
    /**
     * Sessions that created temporary tables. The tables share one backend, and are dropped when
     * no session that created any is left.
     */
    this.temporaryOwners = new Set();
    engine.onOutput = (output) => this.receive(Buffer.from(output.buffer, output.byteOffset, output.length));
  }

  /** Resolves when `owner` has exclusive use of the backend; first come, first served. */
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

  /**
   * Runs SQL of the server itself and returns the rows of all its statements as text. The caller
   * must own the backend.
   */
  query(sql) {
    return this.exchange(query(sql));
  }

  /** Sends messages of the server itself, up to one ReadyForQuery, and returns the rows as text. */
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
