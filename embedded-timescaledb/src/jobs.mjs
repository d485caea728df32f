// Runs due TimescaleDB jobs, because this build has no background workers. Waits in the queue of
// the clients, but does not depend on them.

import { Background } from './background.mjs';
import { applySettings, Settings } from './settings.mjs';

// In this build run_job records neither runs nor the next start. The times in the catalog are
// therefore used only for the first run.
const JOBS = `
  SELECT j.id, j.owner, j.proc_schema || '.' || j.proc_name,
    extract(epoch FROM j.schedule_interval) * 1000,
    extract(epoch FROM j.retry_period) * 1000, j.max_retries, j.fixed_schedule,
    extract(epoch FROM j.initial_start) * 1000,
    CASE WHEN pg_catalog.isfinite(s.next_start) THEN extract(epoch FROM s.next_start) * 1000 END
  FROM _timescaledb_config.bgw_job j
  LEFT JOIN _timescaledb_internal.bgw_job_stat s ON s.job_id = j.id
  WHERE j.scheduled ORDER BY j.id`;

const milliseconds = (text) => (text === null ? null : Number(text));

function readJob([id, owner, name, interval, retry, maxRetries, fixed, initialStart, nextStart]) {
  return {
    id: Number(id), owner, name, interval: Number(interval), retry: Number(retry), maxRetries: Number(maxRetries),
    fixed: fixed === 't', initialStart: milliseconds(initialStart), nextStart: milliseconds(nextStart),
  };
}

/**
 * Returns when a job runs again after a success, in milliseconds. A fixed schedule keeps the grid
 * of its first start.
 */
export function nextRun(job, now) {
  if (!job.fixed || job.initialStart === null || job.interval <= 0) return now + job.interval;
  return job.initialStart + (Math.floor(Math.max(0, now - job.initialStart) / job.interval) + 1) * job.interval;
}

/** Returns when a failed job is retried: Infinity once its retries are used up. */
export function nextTry(job, failures, now) {
  if (job.maxRetries >= 0 && failures > job.maxRetries) return Infinity;
  return now + (job.retry > 0 ? job.retry : job.interval);
}

/** The schedule of the current jobs. A changed job is scheduled anew, a deleted one is removed. */
export class Schedule {
  constructor() {
    this.entries = new Map();
  }

  update(jobs, now) {
    const before = this.entries;
    this.entries = new Map();
    for (const job of jobs) {
      const signature = JSON.stringify(job);
      const known = before.get(job.id);
      const fresh = { job, signature, failures: 0, due: job.nextStart ?? job.initialStart ?? now };
      this.entries.set(job.id, known?.signature === signature ? known : fresh);
    }
  }

  due(now) {
    return [...this.entries.values()].filter((entry) => entry.due <= now).sort((a, b) => a.due - b.due);
  }
}

/**
 * Runs due jobs every `seconds`. Each gets a turn of its own, so that clients are served in
 * between.
 */
export function startJobs(backend, seconds) {
  const schedule = new Schedule();
  return new Background(backend, seconds, async (turn) => {
    const jobs = await turn(async () => (await backend.query(JOBS)).map(readJob));
    schedule.update(jobs ?? [], Date.now());
    for (const entry of schedule.due(Date.now())) await turn(() => runJob(backend, entry));
  });
}

async function runJob(backend, entry) {
  const { job } = entry;
  const [exists] = await backend.query(
    `SELECT 1 FROM _timescaledb_config.bgw_job WHERE scheduled AND id = ${job.id}`,
  );
  if (!exists) return;
  try {
    await applySettings(backend, new Settings({}, job.owner));
    await backend.query(`CALL public.run_job(${job.id})`);
    entry.failures = 0;
    entry.due = nextRun(job, Date.now());
  } catch (error) {
    entry.failures++;
    entry.due = nextTry(job, entry.failures, Date.now());
    const due = Number.isFinite(entry.due) && new Date(entry.due).toISOString();
    const again = due ? `retry at ${due}` : 'no more retries';
    console.error(`job ${job.id} (${job.name}) failed: ${error.message} (${error.code}); ${again}`);
  } finally {
    backend.appliedSettings = null; // a job may change settings
  }
}
