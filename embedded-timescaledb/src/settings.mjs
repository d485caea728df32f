// The settings of each session, and how the one backend takes them on; does not know sockets or messages.

import { SUPERUSER } from './names.mjs';

// This build starts with planner and message settings of its own; these are PostgreSQL's defaults, except that the log
// says only what ends a session.
const BASELINE = {
  TimeZone: 'UTC',
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'fatal',
  enable_seqscan: 'on',
  exit_on_error: 'off',
  allow_system_table_mods: 'off',
};

/** The settings that a server reports to its clients without being asked. */
export const REPORTED = [
  'application_name', 'client_encoding', 'DateStyle', 'default_transaction_read_only', 'in_hot_standby',
  'integer_datetimes', 'IntervalStyle', 'is_superuser', 'scram_iterations', 'server_encoding', 'server_version',
  'session_authorization', 'standard_conforming_strings', 'TimeZone',
];

const LISTED = `SELECT name, setting FROM pg_catalog.pg_settings
  WHERE source = 'session' AND context <> 'internal' AND name NOT LIKE 'transaction\\_%'
  UNION ALL SELECT 'role', pg_catalog.current_setting('role')
  UNION ALL SELECT 'session_authorization', session_user::text`;

export const literal = (value) => `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
export const identifier = (name) => `"${name.replaceAll('"', '""')}"`;

/** The settings of one session: who it is, and what it set. Names are case-insensitive, as in PostgreSQL. */
export class Settings {
  constructor(startUp = {}, user = SUPERUSER) {
    this.defaults = new Map();
    for (const [name, value] of Object.entries({ ...BASELINE, ...startUp })) this.defaults.set(name.toLowerCase(), value);
    this.values = this.defaults;
    this.user = user;
    this.role = 'none';
    this.customNames = new Set();
    this.updateKey();
  }

  /** Equal keys mean equal settings: the backend needs no change. */
  updateKey() {
    this.key = JSON.stringify([this.user, this.role, [...this.values].sort()]);
  }

  apply() {
    const pairs = [...this.values].map(([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`);
    const user = this.user === SUPERUSER ? '' : `SET SESSION AUTHORIZATION ${identifier(this.user)};`;
    const role = this.role === 'none' ? '' : `SET ROLE ${identifier(this.role)};`;
    // RESET SESSION AUTHORIZATION has no effect in this build, so the way back is by name.
    return `SET ROLE NONE; SET SESSION AUTHORIZATION ${SUPERUSER}; RESET ALL; SELECT ${pairs.join(', ')}; ${user} ${role}`;
  }

  capture() {
    const custom = [...this.customNames].map((name) => ` UNION ALL
      SELECT ${literal(name)}, v FROM pg_catalog.current_setting(${literal(name)}, true) v WHERE v <> ''`);
    return LISTED + custom.join('');
  }

  /** What the session's statements left behind, read from the backend rather than from their text. Returns false when
   *  RESET went further back than the start of the session, so that its defaults have to be applied again. */
  captured(rows) {
    const found = new Map(rows.map(([name, value]) => [name.toLowerCase(), value]));
    this.role = found.get('role');
    this.user = found.get('session_authorization');
    found.delete('role');
    found.delete('session_authorization');
    this.values = new Map([...this.defaults, ...found]);
    this.updateKey();
    return [...this.defaults.keys()].every((name) => found.has(name));
  }
}

/** Makes the backend hold these settings; costs nothing when it does already. The caller is the owner. */
export async function applySettings(backend, settings) {
  const key = settings.key;
  if (backend.appliedSettings === key) return;
  backend.appliedSettings = null;
  await backend.query(settings.apply());
  backend.appliedSettings = key;
}

/** Reads back what the owner's statements did to its settings. */
export async function captureSettings(backend, settings) {
  const complete = settings.captured(await backend.query(settings.capture()));
  backend.appliedSettings = complete ? settings.key : null;
}

export async function reportedValues(backend) {
  const [values] = await backend.query(`SELECT ${REPORTED.map((name) => `pg_catalog.current_setting('${name}')`).join(', ')}`);
  return new Map(REPORTED.map((name, index) => [name, values[index]]));
}
