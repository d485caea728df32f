// Keeps the prepared statements of one client under unique names in the shared backend. Does not
// depend on sockets or transactions.

import { inspect, REFUSED_ENCODING } from './sql.mjs';
import { closeStatement, Fields, message } from './protocol.mjs';

/**
 * The prepared statements of one client. Rewrites the messages of the extended protocol.
 *
 * Portals keep their names, because they end with the transaction, and the backend belongs to one
 * client until then. Each message except Flush and Sync has one answer, in order. `answered()`
 * consumes the next one, and returns whether the client asked for it.
 */
export class Statements {
  constructor(clientId, backend) {
    this.prefix = `${clientId}:`;
    this.backend = backend;
    this.prepared = new Map();
    this.pending = [];
    /** Traits by statement name, and by portal name, from the arrival of their message. */
    this.traitsByName = new Map();
    this.portals = new Map();
  }

  /**
   * Returns the traits of the SQL for Parse and Bind, and those of the portal for Execute (`copyIn`
   * starts a COPY).
   */
  traits(type, frame) {
    if (!'PBE'.includes(type)) return {};
    const fields = new Fields(frame);
    const name = fields.string();
    if (type === 'E') return this.portals.get(name) ?? {};
    const traits = type === 'P' ? inspect(fields.string()) : this.traitsByName.get(fields.string()) ?? {};
    (type === 'P' ? this.traitsByName : this.portals).set(name, traits);
    return traits;
  }

  find(name) {
    return this.pending.findLast((slot) => slot.statement?.name === name)?.statement ?? this.prepared.get(name);
  }

  /** Returns the messages to send instead of `frame`. */
  rewrite(type, frame) {
    if (type === 'P') return this.parse(frame);
    if (type === 'B') return this.bind(frame);
    if (type === 'D' || type === 'C') return this.describeOrClose(type, frame);
    if (type === 'E') this.pending.push({});
    return [frame];
  }

  parse(frame) {
    const fields = new Fields(frame);
    const name = fields.string();
    const start = fields.at;
    const traits = inspect(fields.string());
    const refused = traits.otherEncoding && Buffer.concat([Buffer.from(`${REFUSED_ENCODING}\0`), fields.rest()]);
    const body = refused || frame.subarray(start);
    const rewritten = message('P', this.prefix + name, body);
    const statement = { name, frame: rewritten, epoch: this.backend.statementEpoch };
    if (name !== '') {
      this.pending.push({ statement });
      return [rewritten];
    }
    // PostgreSQL lets a client overwrite the unnamed statement. Under a generated name it has to be
    // closed first.
    this.pending.push({ injected: true, closes: name }, { statement });
    return [closeStatement(this.prefix), rewritten];
  }

  bind(frame) {
    const fields = new Fields(frame);
    const portal = fields.string();
    const name = fields.string();
    const prepareAgain = this.revive(name);
    this.pending.push({});
    return [...prepareAgain, message('B', portal, this.prefix + name, fields.rest())];
  }

  describeOrClose(type, frame) {
    const fields = new Fields(frame);
    const kind = fields.byte();
    const name = fields.string();
    const prepareAgain = kind === 'S' && type === 'D' ? this.revive(name) : [];
    this.pending.push({ closes: kind === 'S' && type === 'C' ? name : undefined });
    if (kind !== 'S') return [frame];
    return [...prepareAgain, message(type, Buffer.from(kind), this.prefix + name)];
  }

  /** Prepares a statement again if another client's DISCARD ALL dropped it. */
  revive(name) {
    const statement = this.find(name);
    if (!statement || statement.epoch === this.backend.statementEpoch) return [];
    statement.epoch = this.backend.statementEpoch;
    this.pending.push({ injected: true, statement });
    return [statement.frame];
  }

  answered() {
    const slot = this.pending.shift();
    if (slot?.statement) this.prepared.set(slot.statement.name, slot.statement);
    if (slot?.closes !== undefined) this.forget(slot.closes);
    return !slot?.injected;
  }

  forget(name) {
    this.prepared.delete(name);
    if (name !== '') this.traitsByName.delete(name);
  }

  /** Drops outstanding answers: after an error the backend sends none until Sync. */
  abandonPending() {
    this.pending = [];
  }

  forgetAll() {
    this.prepared.clear();
  }

  closeAll() {
    const frames = [...this.prepared.keys()].map((name) => closeStatement(this.prefix + name));
    this.prepared.clear();
    return frames;
  }
}
