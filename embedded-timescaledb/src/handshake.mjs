// The start of a connection: determines the user and the settings of the client. Does not serve its
// queries.

import { DATABASE } from './names.mjs';
import { Fields, ProtocolViolation } from './protocol.mjs';
import { applySettings, literal, reportedValues, Settings } from './settings.mjs';

const PROTOCOL_3 = 3;
const SPECIAL = 1234;
const CANCEL = 5678;
const NOT_SETTINGS = new Set(['user', 'database', 'replication', 'options']);

/** A refusal of this client, sent as FATAL before the connection ends. */
export class Refusal extends Error {
  constructor(code, text, hint) {
    super(text);
    this.code = code;
    this.hint = hint;
  }
}

/**
 * Reads start-up packets. Returns the parameters of the client, or null if there is no client to
 * serve.
 */
export async function readStartUp(reader, socket) {
  for (;;) {
    const packet = await reader.startUp();
    if (!packet) return null;
    const major = packet.readUInt16BE(4);
    if (major === PROTOCOL_3) return parameters(packet);
    if (major !== SPECIAL) throw new Refusal('0A000', `unsupported frontend protocol ${major}`);
    if (packet.readUInt16BE(6) === CANCEL) return null; // there is no second thread to cancel from
    socket.write('N'); // no TLS or GSSAPI, because the server listens on loopback only
  }
}

function parameters(packet) {
  const fields = new Fields(packet, 8);
  const found = {};
  for (;;) {
    const name = fields.string();
    if (name === '') return found;
    found[name] = fields.string();
  }
}

/**
 * Parses `-c name=value` and `--name=value` of the `options` parameter; a backslash escapes a
 * space.
 */
function parseOptions(options) {
  const words = (options.match(/(?:\\.|[^\s\\])+/g) ?? []).map((word) => word.replace(/\\(.)/g, '$1'));
  const settings = {};
  for (let index = 0; index < words.length; index++) {
    const text = words[index] === '-c' ? words[++index] : words[index].replace(/^(-c|--)/, '');
    const [, name, value] = /^([\w.-]+)=([\s\S]*)$/.exec(text ?? '') ?? [];
    if (!name) {
      const argument = words[index] ?? '-c';
      throw new Refusal('42601', `invalid command-line argument for server process: ${argument}`);
    }
    settings[name.replaceAll('-', '_')] = value;
  }
  return settings;
}

/**
 * Cached start-up answers. Connections of one program send the same parameters, so most need no
 * query.
 */
const known = new Map();
const KNOWN_LIMIT = 1000;

export function forgetLogins() {
  known.clear();
}

/**
 * Checks the client, and returns its settings and the values to report. Calls `own()` if it needs
 * the backend.
 */
export async function logIn(startUp, backend, own) {
  if (!startUp.user) throw new Refusal('28000', 'no PostgreSQL user name specified in startup packet');
  const database = startUp.database ?? DATABASE;
  if (database !== DATABASE) {
    const hint = `This server has one database: ${DATABASE}.`;
    throw new Refusal('3D000', `database "${database}" does not exist`, hint);
  }
  const requested = parseOptions(startUp.options ?? '');
  for (const [name, value] of Object.entries(startUp)) {
    if (!NOT_SETTINGS.has(name) && !name.startsWith('_pq_.')) requested[name] = value;
  }
  checkEncoding(requested);
  const key = JSON.stringify([startUp.user, Object.entries(requested).sort()]);
  if (!known.has(key)) {
    await own();
    const login = await authorize(startUp.user, requested, backend);
    if (known.size >= KNOWN_LIMIT) known.clear();
    known.set(key, login);
  }
  const { defaults, user, reported } = known.get(key);
  return { settings: new Settings(defaults, user), reported };
}

/** Refuses encodings that need a conversion, because this build cannot load one. */
function checkEncoding(requested) {
  const encoding = requested.client_encoding;
  if (encoding !== undefined && !/^'?(utf-?8|unicode|sql_ascii)'?$/i.test(encoding)) {
    const text = `invalid value for parameter "client_encoding": "${encoding}"`;
    throw new Refusal('22023', text, 'This server supports UTF8 only.');
  }
}

async function authorize(user, requested, backend) {
  await applySettings(backend, new Settings());
  const rows = await backend.query(`
    SELECT r.rolcanlogin, pg_catalog.unnest(coalesce(s.setconfig, ARRAY[NULL]))
    FROM pg_catalog.pg_roles r
    LEFT JOIN pg_catalog.pg_db_role_setting s ON s.setrole IN (0, r.oid)
      AND s.setdatabase IN (
        0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    WHERE r.rolname = ${literal(user)} ORDER BY s.setrole <> 0, s.setdatabase <> 0`);
  if (rows.length === 0) throw new Refusal('28000', `role "${user}" does not exist`);
  if (rows[0][0] !== 't') throw new Refusal('28000', `role "${user}" is not permitted to log in`);
  const defaults = {};
  for (const [, pair] of rows) {
    if (pair) defaults[pair.slice(0, pair.indexOf('='))] = pair.slice(pair.indexOf('=') + 1);
  }
  Object.assign(defaults, requested);
  await applySettings(backend, new Settings(defaults, user));
  return { defaults, user, reported: await reportedValues(backend) };
}
