// One client from its first byte to its last: what is sent on, when it owns the backend, what it leaves behind.

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
    /** 'I' idle, 'T' in a transaction, 'E' in a failed one: as the backend said last. */
    this.status = 'I';
    /** Messages of the extended protocol are under way that no Sync has ended yet. */
    this.unsynced = false;
    /** A ReadyForQuery is to come. */
    this.awaitsReady = false;
    /** After an error in the extended protocol everything is skipped up to Sync. */
    this.skipping = false;
    /** 'simple' or 'extended': the protocol of the messages under way. */
    this.mode = 'simple';
    /** The backend takes CopyData. */
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
    await this.settling; // a COPY that failed may have ended while its data was still read
    if (this.copying) return this.handleCopy(type, frame);
    if ('dcf'.includes(type)) return; // still on their way when a COPY failed
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
    if ('SH'.includes(type)) return; // as PostgreSQL does: ignored until the COPY has ended
    if (!'dcf'.includes(type)) throw new ProtocolViolation(`unexpected message type "${type}" during COPY from stdin`);
    if (type !== 'd') this.endCopy();
    await this.backend.send(frame);
    if (this.awaitsReady) await this.readiness();
  }

  endCopy() {
    this.copying = false;
    this.awaitsReady = this.mode === 'simple';
    this.unsynced = this.mode === 'extended';
  }

  /** The backend of this build does not end a failed function call with ReadyForQuery, so it never gets one. */
  async refuseFunctionCall() {
    await this.answers();
    if (this.skipping) return;
    const text = 'the function call message is not supported: use SELECT';
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

  /** Remembers what the SQL may do, to be looked at once the backend is idle again. */
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

  /** Waits for ReadyForQuery, or for the backend to ask for COPY data instead. */
  readiness() {
    return this.until(() => !this.awaitsReady || this.copying);
  }

  /** Sends what is collected and waits until each message is answered, or the backend asks for COPY data. */
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

  /** A message of the backend for this client; returns whether it is passed on as it is. */
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
      // Not at once: what came before this message has to reach the client first.
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

  /** The session's state is unknown: it ends, and nobody else may be held up by it. */
  fail(error) {
    console.error(error);
    this.backend.appliedSettings = null;
    this.socket.destroy();
    this.proceed(true);
  }

  /** Leaves the backend as if this client had never been. */
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

  /** Brings what is under way to its ReadyForQuery, in the client's place. */
  async endMessages() {
    await this.settling;
    await this.readiness();
    if (this.copying) {
      this.endCopy();
      await this.backend.send(copyFail('the client is gone'));
    }
    if (this.unsynced) {
      this.awaitsReady = true;
      await this.backend.send(SYNC);
    }
    await this.until(() => !this.awaitsReady);
    await this.settling;
  }
}
