// Tests of background jobs: due jobs run by themselves, and failing jobs do not affect others.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nextRun, nextTry, Schedule } from '../src/jobs.mjs';
import { startServer, until, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 30_000 };
let server;
before(async () => {
  server = await startServer('--job-interval', '0.2');
}, LIMIT);
after(() => server?.stop(), LIMIT);

test('a continuous aggregate policy materialises by itself', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query(`CREATE TABLE measured (at timestamptz NOT NULL, v float8)`);
    await client.query(`SELECT create_hypertable('measured', 'at')`);
    await client.query(`CREATE MATERIALIZED VIEW measured_1min WITH (timescaledb.continuous, timescaledb.materialized_only = true)
      AS SELECT time_bucket('1 minute', at) AS bucket, count(*) FROM measured GROUP BY 1 WITH NO DATA`);
    await client.query(`INSERT INTO measured SELECT now() - i * interval '1 minute', i FROM generate_series(5, 100) i`);
    await client.query(`SELECT add_continuous_aggregate_policy('measured_1min', '1 day', '1 minute', '1 minute')`);
    await until(async () => (await value(client, 'SELECT sum(count)::int FROM measured_1min')) === 96);
  }));

test('a user-defined job runs on its schedule, as its owner, until it is deleted', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query(`CREATE TABLE runs (who name); GRANT ALL ON runs TO public; CREATE ROLE worker LOGIN`);
    await client.query(`CREATE PROCEDURE work(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO runs VALUES (current_user)'`);
    await client.query('SET ROLE worker');
    const id = await value(client, `SELECT add_job('work', interval '100 milliseconds')`);
    await client.query('RESET ROLE');
    const count = () => value(client, 'SELECT count(*)::int FROM runs');
    await until(async () => (await count()) >= 3);
    assert.equal(await value(client, 'SELECT DISTINCT who FROM runs'), 'worker');
    await client.query('SELECT alter_job($1, scheduled => false)', [id]);
    const paused = await count();
    await client.query(`CREATE TABLE later (a int);
      CREATE PROCEDURE later(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO later VALUES (1)'`);
    await client.query(`SELECT add_job('later', interval '1 hour')`);
    await until(() => value(client, 'SELECT count(*)::int FROM later')); // by now a round of jobs has run
    assert.equal(await count(), paused);
    await client.query('SELECT delete_job($1)', [id]);
  }));

test('a failing job is logged and harms neither clients nor other jobs', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query(`CREATE TABLE good (a int);
      CREATE PROCEDURE bad_job(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as planned'; END $$;
      CREATE PROCEDURE good_job(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO good VALUES (1)'`);
    await client.query(`SELECT add_job('bad_job', interval '1 second'), add_job('good_job', interval '1 second')`);
    await until(() => /bad_job\) failed: as planned/.test(server.stderr));
    await until(() => value(client, 'SELECT count(*)::int FROM good'));
  }));

test('jobs wait for the transaction of a client, and clients are served between jobs', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    await one.query(`CREATE TABLE inside (a int);
      CREATE PROCEDURE inside_job(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO inside VALUES (1)'`);
    await one.query('BEGIN');
    await one.query(`SELECT add_job('inside_job', interval '1 second')`);
    for (let round = 0; round < 20; round++) assert.equal(await value(one, 'SELECT count(*)::int FROM inside'), 0);
    await one.query('COMMIT');
    await until(() => value(two, 'SELECT count(*)::int FROM inside'));
  }));

const JOB = { id: 1, interval: 1000, retry: 300, maxRetries: 2, fixed: false, initialStart: null, nextStart: null };

test('a fixed schedule keeps to its grid, another counts from the end of the run', () => {
  assert.equal(nextRun(JOB, 5_250), 6_250);
  assert.equal(nextRun({ ...JOB, fixed: true, initialStart: 100 }, 5_250), 6_100);
  assert.equal(nextRun({ ...JOB, fixed: true, initialStart: 100 }, 6_100), 7_100);
});

test('a failed job is tried again after its retry period, or its interval, and not for ever', () => {
  assert.equal(nextTry(JOB, 1, 0), 300);
  assert.equal(nextTry({ ...JOB, retry: 0 }, 1, 0), 1000);
  assert.equal(nextTry(JOB, 3, 0), Infinity);
  assert.equal(nextTry({ ...JOB, maxRetries: -1 }, 99, 0), 300);
});

test('a changed job starts anew, a dropped one is forgotten, an initial start is waited for', () => {
  const schedule = new Schedule();
  schedule.update([JOB, { ...JOB, id: 2, initialStart: 900 }], 0);
  assert.deepEqual(schedule.due(0).map((entry) => entry.job.id), [1]);
  schedule.due(0)[0].due = 5000;
  schedule.update([JOB], 1000);
  assert.deepEqual(schedule.due(1000), []);
  schedule.update([{ ...JOB, interval: 10 }], 1000);
  assert.deepEqual(schedule.due(1000).map((entry) => entry.job.id), [1]);
});
