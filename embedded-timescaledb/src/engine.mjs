// The server thread's interface to the database thread: bytes in, bytes out. Does not depend on
// clients or messages.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { createShared, RingWriter } from './ring.mjs';

export class Engine {
  /** Calls `onFailure(error)` once if the backend crashes; nothing can be saved then. */
  constructor({ folder, isNew, onFailure }) {
    const shared = createShared();
    this.ring = new RingWriter(shared);
    this.onOutput = () => {};
    this.spaceWaiters = [];
    this.written = Promise.resolve();
    this.closing = false;
    this.worker = new Worker(new URL('./engine-worker.mjs', import.meta.url), {
      workerData: { shared, folder, isNew },
      // Callers parse the single line on standard output, so the database must not write to it.
      stdout: true,
    });
    this.worker.stdout.on('data', (text) => process.stderr.write(text));
    this.ready = new Promise((resolve, reject) => {
      this.markReady = resolve;
      this.worker.once('error', reject);
    });
    this.ready.catch(() => {});
    this.worker.on('message', (message) => this.receive(message));
    this.worker.on('error', onFailure);
    this.worker.on('exit', (code) => {
      if (!this.closing) onFailure(new Error(`the database thread ended with code ${code}`));
    });
  }

  receive(message) {
    if (message.output) this.onOutput(message.output);
    else if (message.ready) this.markReady();
    else if (message.closed) this.closing = true;
    for (const wake of this.spaceWaiters.splice(0)) wake();
  }

  /**
   * Writes bytes in the order of the calls. Resolves once all are in the ring, which is the
   * backpressure of a long COPY.
   */
  write(bytes) {
    this.written = this.written.then(() => this.writeNow(bytes));
    return this.written;
  }

  async writeNow(bytes) {
    for (let at = 0; ; ) {
      at += this.ring.write(bytes, at);
      if (at === bytes.length) return;
      if (this.ring.awaitSpace()) await new Promise((resolve) => this.spaceWaiters.push(resolve));
    }
  }

  /** Reports output bytes that reached the client or were discarded. */
  sent(bytes) {
    this.ring.sent(bytes);
  }

  /** Closes the database. Call it only while the backend is idle. */
  async close() {
    const exited = once(this.worker, 'exit');
    this.ring.stop();
    await exited;
    if (!this.closing) throw new Error('the database did not close cleanly');
  }
}
