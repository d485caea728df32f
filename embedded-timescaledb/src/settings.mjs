// The settings of each session, and how they are applied to the shared backend. Does not depend on
// sockets or messages.

import { SUPERUSER } from './names.mjs';

// This build starts with non-default planner and message settings. These are PostgreSQL's defaults,
// except that the log contains only errors that end a session.
const BASELINE = {
  TimeZone: 'UTC',
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'fatal',
  enable_seqscan: 'on',
  exit_on_error: 'off',
  allow_system_table_mods: 'off',
};

/** Settings that a PostgreSQL server reports to its clients on its own (ParameterStatus). */
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

/**
 * The settings of one session, including its user and role. Names are case-insensitive, as in
 * PostgreSQL.
 */
export class Settings {
  constructor(startUp = {}, user = SUPERUSER) {
    this.defaults = new Map();
    for (const [name, value] of Object.entries({ ...BASELINE, ...startUp })) {
      this.defaults.set(name.toLowerCase(), value);
    }
    this.values = this.defaults;
    this.user = user;
    this.role = 'none';
    this.customNames = new Set();
    this.updateKey();
  }

  /** Updates the key. Equal keys mean equal settings, so the backend needs no change. */
  updateKey() {
    this.key = JSON.stringify([this.user, this.role, [...this.values].sort()]);
  }

  apply() {
    const pairs = [...this.values].map(
      ([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`,
    );
    const user = this.user === SUPERUSER ? '' : `SET SESSION AUTHORIZATION ${identifier(this.user)};`;
    const role = this.role === 'none' ? '' : `SET ROLE ${identifier(this.role)};`;
    // RESET SESSION AUTHORIZATION has no effect in this build, so the superuser is set by name.
    return `SET ROLE NONE; SET SESSION AUTHORIZATION ${SUPERUSER}; RESET ALL; SELECT ${pairs.join(', ')}; ${user} ${role}`;
  }

  capture() {
    const custom = [...this.customNames].map((name) => ` UNION ALL
      SELECT ${literal(name)}, v FROM pg_catalog.current_setting(${literal(name)}, true) v WHERE v <> ''`);
    return LISTED + custom.join('');
  }

  /**
   * Stores the settings that the session's statements left, as read from the backend. Returns false
   * if RESET removed defaults of the session, so that they have to be applied again.
   */
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

/**
 * Applies these settings to the backend, unless it has them already. The caller must own the
 * backend.
 */
export async function applySettings(backend, settings) {
  const key = settings.key;
  if (backend.appliedSettings === key) return;
  backend.appliedSettings = null;
  await backend.query(settings.apply());
  backend.appliedSettings = key;
}

/** Reads the owner's settings back from the backend. */
export async function captureSettings(backend, settings) {
  const complete = settings.captured(await backend.query(settings.capture()));
  backend.appliedSettings = complete ? settings.key : null;
}

export async function reportedValues(backend) {
  const columns = REPORTED.map((name) => `pg_catalog.current_setting('${name}')`);
  const [values] = await backend.query(`SELECT ${columns.join(', ')}`);
  return new Map(REPORTED.map((name, index) => [name, values[index]]));
}
