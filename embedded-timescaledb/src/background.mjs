// Runs periodic work of the server in the same queue as the clients. Does not depend on what the
// work is.

import { applySettings, Settings } from './settings.mjs';

export class Background {
  /**
   * Runs `round(turn)` every `seconds`. Each `turn(work)` in it waits for the backend like a
   * client.
   */
  constructor(backend, seconds, round) {
    this.backend = backend;
    this.stopped = false;
    this.running = null;
    this.timer = setInterval(() => {
      this.running ??= this.run(round);
    }, seconds * 1000);
  }

  async run(round) {
    try {
      await round((work) => this.turn(work));
    } catch (error) {
      console.error(`background work failed: ${error.message}`);
    }
    this.running = null;
  }

  async turn(work) {
    await this.backend.acquire(this);
    try {
      if (this.stopped) return undefined;
      await applySettings(this.backend, new Settings());
      return await work();
    } finally {
      this.backend.release();
    }
  }

  /** Stops the timer, and resolves once no work is running. */
  async stop() {
    this.stopped = true;
    clearInterval(this.timer);
    await this.running;
  }
}
