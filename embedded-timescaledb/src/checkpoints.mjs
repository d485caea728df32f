// Requests checkpoints, because this build has no checkpointer and its log would grow without
// bound. Does not depend on clients.

import { Background } from './background.mjs';

/** Interval between checks. */
const SECONDS = 5;
/** Size of the log since the last checkpoint that triggers the next one. */
const LOG_BYTES = 64 << 20;
const LOG_SINCE_CHECKPOINT = `
  SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), redo_lsn)
  FROM pg_catalog.pg_control_checkpoint()`;

export function startCheckpoints(backend) {
  return new Background(backend, SECONDS, (turn) => turn(async () => {
    const [[bytes]] = await backend.query(LOG_SINCE_CHECKPOINT);
    if (Number(bytes) > LOG_BYTES) await backend.query('CHECKPOINT');
  }));
}
