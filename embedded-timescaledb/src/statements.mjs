// One client's prepared statements under names of its own in the one backend; does not know sockets or transactions.

import { inspect, REFUSED_ENCODING } from './sql.mjs';
import { closeStatement, Fields, message } from './protocol.mjs';

/**
 * Rewrites the messages of the extended protocol. Portals keep their names: they end with the transaction, and the
 * backend belongs to one client until then. Each message but Flush and Sync has one answer, in order: `answered()`
 * takes the next one and says whether the client asked for it.
 */
export class Statements {
  constructor(clientId, backend) {
    this.prefix = `${clientId}:`;
    this.backend = backend;
    this.prepared = new Map();
    this.pending = [];
    /** By statement and by portal, from the moment their message arrives. */
    this.traitsByName = new Map();
    this.portals = new Map();
  }

  /** What the SQL of a statement may do, for Parse and Bind; `copyIn` for the Execute that starts a COPY. */
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

  /** The messages to send instead of `frame`. */
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
    // The unnamed statement may be overwritten at will; under a name of its own it has to be closed first.
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

  /** Another client's DISCARD ALL dropped this statement too: prepares it again. */
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

  /** After an error the backend answers nothing more until Sync. */
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
