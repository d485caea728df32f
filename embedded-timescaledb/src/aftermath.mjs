// Cleans up what a client's statements leave in the shared backend, so that other clients do not
// see it. Does not depend on the messages of the client.

import { SYNC } from './protocol.mjs';
import { forgetLogins } from './handshake.mjs';
import { captureSettings, REPORTED } from './settings.mjs';

const LOCKS = `SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' LIMIT 1`;

/**
 * Returns whether the statements may have left state that has to be checked before others are
 * served.
 */
export function leavesTraces({ settings, locks, dropsStatements, roles }) {
  return Boolean(settings || locks || dropsStatements || roles);
}

/**
 * Checks what the statements left. Returns the traits that still apply, and the settings to report
 * as [name, value].
 */
export async function settle({ backend, statements, settings, traits }) {
  if (traits.dropsStatements) {
    backend.statementEpoch++;
    statements.forgetAll();
  }
  if (traits.roles) forgetLogins();
  const reports = traits.settings ? await changedSettings(backend, settings) : [];
  const locks = Boolean(traits.locks) && (await backend.query(LOCKS)).length > 0;
  return { traits: { locks, holds: traits.holds, listens: traits.listens }, reports };
}

async function changedSettings(backend, settings) {
  const before = settings.values;
  await captureSettings(backend, settings);
  return REPORTED.map((name) => [name, settings.values.get(name.toLowerCase())])
    .filter(([name, value]) => value !== undefined && value !== before.get(name.toLowerCase()));
}

/**
 * Drops state that would outlive a client that ends. The session acquires the backend if necessary.
 */
export async function dropLeftovers(session) {
  const { backend, statements, traits } = session;
  const temporary = backend.temporaryOwners.delete(session) && backend.temporaryOwners.size === 0;
  const sql = [
    traits.locks && 'SELECT pg_catalog.pg_advisory_unlock_all()',
    traits.holds && 'CLOSE ALL',
    traits.listens && 'UNLISTEN *',
    temporary && 'DISCARD TEMP',
  ];
  const closes = statements.closeAll();
  if (closes.length === 0 && !sql.some(Boolean)) return;
  if (backend.owner !== session) await backend.acquire(session);
  await backend.exchange(Buffer.concat([...closes, SYNC]));
  for (const statement of sql.filter(Boolean)) await backend.query(statement);
}
