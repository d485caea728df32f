// Builds messages of the PostgreSQL protocol and reads their fields. Does not depend on how a
// session uses them.

/** A protocol error of the client; its connection has to end. */
export class ProtocolViolation extends Error {}

export const SYNC = message('S');

/** Builds a message from a type letter and body parts. Strings become zero-terminated. */
export function message(type, ...parts) {
  const body = parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part));
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeInt32BE(4 + body.reduce((sum, part) => sum + part.length, 0), 1);
  return Buffer.concat([header, ...body]);
}

export function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export const query = (sql) => message('Q', sql);
export const parameterStatus = (name, value) => message('S', name, value);
export const readyForQuery = (status) => message('Z', Buffer.from(status));
export const copyFail = (reason) => message('f', reason);
export const closeStatement = (name) => message('C', Buffer.from('S'), name);

export function errorResponse({ severity = 'ERROR', code, text, hint }) {
  const fields = [['S', severity], ['V', severity], ['C', code], ['M', text]];
  if (hint) fields.push(['H', hint]);
  return message('E', ...fields.map(([key, value]) => key + value), Buffer.from([0]));
}

/** Returns the fields of an ErrorResponse or NoticeResponse, keyed by their letter. */
export function errorFields(bytes) {
  const fields = {};
  for (const field of bytes.toString('utf8', 5).split('\0')) {
    if (field) fields[field[0]] = field.slice(1);
  }
  return fields;
}

/** A reader of zero-terminated strings and bytes within the bounds of one message body. */
export class Fields {
  constructor(bytes, at = 5) {
    this.bytes = bytes;
    this.at = at;
  }

  string() {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw new ProtocolViolation('invalid string in message');
    const value = this.bytes.toString('utf8', this.at, end);
    this.at = end + 1;
    return value;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new ProtocolViolation('insufficient data left in message');
    return String.fromCharCode(this.bytes[this.at++]);
  }

  rest() {
    return this.bytes.subarray(this.at);
  }
}

/** Returns the values of a DataRow as text; NULL becomes null. */
export function rowValues(bytes) {
  const values = [];
  let at = 7;
  for (let left = bytes.readInt16BE(5); left > 0; left--) {
    const length = bytes.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : bytes.toString('utf8', at, at + Math.max(length, 0)));
    at += Math.max(length, 0);
  }
  return values;
}
