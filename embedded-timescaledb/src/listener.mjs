// Listens on loopback and starts a session for each connection. Does not depend on the messages.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { Session } from './session.mjs';

const HOST = '127.0.0.1'; // not configurable, because anyone who can connect is trusted

export class Listener {
  constructor(backend) {
    this.sessions = new Map();
    this.lastId = 0;
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const session = new Session(socket, ++this.lastId, backend);
      const served = session.serve().catch((error) => console.error(error));
      this.sessions.set(session, served);
      served.then(() => this.sessions.delete(session));
    });
  }

  async listen(port) {
    this.server.listen(port, HOST);
    await once(this.server, 'listening');
    return this.server.address().port;
  }

  /** Ends every connection, and resolves once each is rolled back. */
  async close() {
    this.server.close();
    const served = [...this.sessions.values()];
    for (const session of this.sessions.keys()) session.socket.destroy();
    await Promise.all(served);
  }
}
