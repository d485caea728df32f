// Work of the server's own, time and again, in the same queue as the clients; does not know what the work is.

import { applySettings, Settings } from './settings.mjs';

export class Background {
  /** `round(turn)` runs every `seconds`; each `turn(work)` in it waits for the backend like any client. */
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

  /** Returns once nothing is running and nothing will start. */
  async stop() {
    this.stopped = true;
    clearInterval(this.timer);
    await this.running;
  }
}
