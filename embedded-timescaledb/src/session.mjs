// One client from its first byte to its last: forwards its messages, acquires and releases the
// backend, and cleans up after it.

import { randomInt } from 'node:crypto';
import { dropLeftovers, leavesTraces, settle } from './aftermath.mjs';
import { DatabaseError } from './backend.mjs';
import { FrameReader } from './frame-reader.mjs';
import { logIn, readStartUp, Refusal } from './handshake.mjs';
import {
  copyFail, errorResponse, Fields, int32, message, parameterStatus, ProtocolViolation, query, readyForQuery, SYNC,
} from './protocol.mjs';
import { applySettings } from './settings.mjs';
import { inspect, REFUSED_ENCODING } from './sql.mjs';
import { Statements } from './statements.mjs';

const BATCH_LIMIT = 1 << 20;
const TERMINATE = 'X'.charCodeAt(0);

export class Session {
  constructor(socket, id, backend) {
    this.socket = socket;
    this.id = id;
    this.backend = backend;
    this.reader = new FrameReader(socket);
    this.statements = new Statements(id, backend);
    this.traits = {};
    this.batch = [];
    this.batchBytes = 0;
    /**
     * Last status reported by the backend: 'I' idle, 'T' in a transaction, 'E' in a failed
     * transaction.
     */
    this.status = 'I';
    /** True while messages of the extended protocol are under way without a Sync. */
    this.unsynced = false;
    /** True while a ReadyForQuery is outstanding. */
    this.awaitsReady = false;
    /** True after an error in the extended protocol: everything up to Sync is skipped. */
    this.skipping = false;
    /** Protocol of the messages under way: 'simple' or 'extended'. */
    this.mode = 'simple';
    /** True while the backend accepts CopyData. */
    this.copying = false;
    this.settling = null;
    this.gone = false;
    this.changed = () => {};
  }

  async serve() {
    try {
      const startUp = await readStartUp(this.reader, this.socket);
      if (!startUp) return;
      await this.welcome(startUp);
      for (let frame; (frame = await this.reader.next()); ) {
        if (frame[0] === TERMINATE) break;
        await this.handle(String.fromCharCode(frame[0]), frame);
      }
    } catch (error) {
      this.refuse(error);
    } finally {
      this.gone = true;
      await this.cleanUp();
      this.socket.destroySoon();
    }
  }

  async welcome(startUp) {
    const { settings, reported } = await logIn(startUp, this.backend, () => this.own());
    this.settings = settings;
    if (this.backend.owner === this) this.backend.release();
    this.socket.write(Buffer.concat([
      message('R', int32(0)),
      ...[...reported].map(([name, value]) => parameterStatus(name, value)),
      message('K', int32(this.id), int32(randomInt(2 ** 31))),
      readyForQuery('I'),
    ]));
  }

  refuse(error) {
    const violation = error instanceof ProtocolViolation;
    if (!violation && !(error instanceof Refusal) && !(error instanceof DatabaseError)) console.error(error);
    const code = violation ? '08P01' : error.code ?? 'XX000';
    this.socket.write(errorResponse({ severity: 'FATAL', code, text: error.message, hint: error.hint }));
  }

  async handle(type, frame) {
    await this.settling; // a failed COPY may have ended while its data was still being read
    if (this.copying) return this.handleCopy(type, frame);
    if ('dcf'.includes(type)) return; // messages that were in flight when a COPY failed
    if (this.skipping && type !== 'S') return;
    if (type === 'p') throw new ProtocolViolation('unexpected password message');
    if (type === 'F') return this.refuseFunctionCall();
    if (type === 'Q') return this.handleQuery(frame);
    const traits = this.note(this.statements.traits(type, frame));
    this.batch.push([type, frame]);
    this.batchBytes += frame.length;
    if (type === 'S') await this.sync();
    else if (type === 'E' && traits.copyIn) await this.answers();
    else if (type === 'H' || this.batchBytes > BATCH_LIMIT) await this.sendBatch();
  }

  async handleCopy(type, frame) {
    if ('SH'.includes(type)) return; // ignored until the COPY has ended, as in PostgreSQL
    if (!'dcf'.includes(type)) {
      throw new ProtocolViolation(`unexpected message type "${type}" during COPY from stdin`);
    }
    if (type !== 'd') this.endCopy();
    await this.backend.send(frame);
    if (this.awaitsReady) await this.readiness();
  }

  endCopy() {
    this.copying = false;
    this.awaitsReady = this.mode === 'simple';
    this.unsynced = this.mode === 'extended';
  }

  /** Refuses a function call: this build does not send ReadyForQuery after one that failed. */
  async refuseFunctionCall() {
    await this.answers();
    if (this.skipping) return;
    const text = 'the FunctionCall message is not supported: use SELECT';
    this.socket.write(Buffer.concat([errorResponse({ code: '0A000', text }), readyForQuery(this.status)]));
  }

  async handleQuery(frame) {
    const { otherEncoding } = this.note(inspect(new Fields(frame).string()));
    await this.answers();
    if (this.skipping) return;
    await this.own();
    this.mode = 'simple';
    this.awaitsReady = true;
    await this.backend.send(otherEncoding ? query(REFUSED_ENCODING) : frame);
    await this.readiness();
  }

  async sync() {
    await this.sendBatch();
    this.awaitsReady = true;
    await this.readiness();
  }

  /** Records what the SQL may do, to be checked once the backend is idle again. */
  note(traits) {
    for (const name in traits) this.traits[name] ||= traits[name];
    for (const name of traits.customSettings ?? []) this.settings.customNames.add(name);
    if (traits.temporary) this.backend.temporaryOwners.add(this);
    return traits;
  }

  async sendBatch() {
    if (this.batch.length === 0) return;
    await this.own();
    const frames = this.batch.flatMap(([type, frame]) => this.statements.rewrite(type, frame));
    this.mode = 'extended';
    this.unsynced = true;
    this.batch = [];
    this.batchBytes = 0;
    await this.backend.send(frames.length === 1 ? frames[0] : Buffer.concat(frames));
  }

  async own() {
    if (this.backend.owner !== this) await this.backend.acquire(this);
    if (this.backend.sink === this) return;
    if (this.settings) await applySettings(this.backend, this.settings);
    this.backend.sink = this;
  }

  /** Resolves on ReadyForQuery, or when the backend requests COPY data. */
  readiness() {
    return this.until(() => !this.awaitsReady || this.copying);
  }

  /** Sends the batch. Resolves once each message is answered, or the backend requests COPY data. */
  async answers() {
    await this.sendBatch();
    await this.until(() => this.statements.pending.length === 0 || this.copying);
  }

  async until(condition) {
    while (!condition()) {
      await new Promise((resolve) => {
        this.changed = resolve;
      });
    }
  }

  /**
   * Handles a message of the backend for this client. Returns whether it is passed on unchanged.
   */
  message(type, bytes) {
    const passed = type === 'Z' ? this.becomeReady(String.fromCharCode(bytes[5])) : this.follow(type);
    this.changed();
    return passed;
  }

  follow(type) {
    if (type === 'G') {
      this.copying = true;
      this.awaitsReady = false;
    } else if (type === 'E') {
      this.statements.abandonPending();
      this.skipping = this.mode === 'extended';
      if (this.copying) this.endCopy();
    } else if (type === 'A') return Boolean(this.traits.listens);
    else if (this.mode === 'extended' && '123TnCIs'.includes(type)) return this.statements.answered();
    return true;
  }

  bytes(bytes, done) {
    if (this.gone || this.socket.destroyed) done();
    else this.socket.write(bytes, done);
  }

  becomeReady(status) {
    this.status = status;
    this.statements.abandonPending();
    if (status === 'I') this.statements.portals.clear();
    if (status === 'I' && leavesTraces(this.traits)) {
      // Deferred, because earlier output has to reach the client first.
      this.settling = Promise.resolve().then(() => this.settle()).catch((error) => this.fail(error));
      return false;
    }
    this.proceed(status === 'I');
    return true;
  }

  proceed(free) {
    this.awaitsReady = false;
    this.unsynced = false;
    this.skipping = false;
    if (free) this.backend.release();
    this.changed();
  }

  async settle() {
    const { traits, reports } = await settle(this);
    this.traits = traits;
    for (const report of reports) this.bytes(parameterStatus(...report), () => {});
    this.bytes(readyForQuery('I'), () => {});
    this.proceed(!traits.locks);
  }

  /** Ends a session whose state is unknown, without blocking the others. */
  fail(error) {
    console.error(error);
    this.backend.appliedSettings = null;
    this.socket.destroy();
    this.proceed(true);
  }

  /** Removes all traces of this client from the backend. */
  async cleanUp() {
    try {
      await this.endMessages();
      if (this.traits.settings) this.backend.appliedSettings = null;
      if (this.status !== 'I') await this.backend.query('ROLLBACK');
      await dropLeftovers(this);
    } catch (error) {
      console.error(error);
      this.backend.appliedSettings = null;
    } finally {
      if (this.backend.owner === this) this.backend.release();
    }
  }

  /** Completes messages under way up to ReadyForQuery, on behalf of the client. */
  async endMessages() {
    await this.settling;
    await this.readiness();
    if (this.copying) {
      this.endCopy();
      await this.backend.send(copyFail('the client has disconnected'));
    }
    if (this.unsynced) {
      this.awaitsReady = true;
      await this.backend.send(SYNC);
    }
    await this.until(() => !this.awaitsReady);
    await this.settling;
  }
}
