// Tests of TimescaleDB features in this build that Tidegauge's migrations and queries rely on.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 30_000 };
let server;
before(async () => {
  server = await startServer('--job-interval', '3600');
}, LIMIT);
after(() => server?.stop(), LIMIT);

test('hypertable, hierarchical continuous aggregates, gap filling and compression work together', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE points ("timestamp" timestamptz NOT NULL, series_id int NOT NULL, value float8 NOT NULL)');
    await client.query(`SELECT create_hypertable('points', 'timestamp', chunk_time_interval => interval '1 day')`);
    await client.query(`INSERT INTO points SELECT timestamptz '2025-01-01' + i * interval '10 seconds', i % 3, i FROM generate_series(0, 29999) i`);
    await client.query(`CREATE MATERIALIZED VIEW points_1min WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
      SELECT time_bucket('1 minute', "timestamp") AS bucket, series_id, count(value) AS count, sum(value) AS sum
      FROM points GROUP BY 1, 2 WITH NO DATA`);
    await client.query(`CREATE MATERIALIZED VIEW points_1hour WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
      SELECT time_bucket('1 hour', bucket) AS bucket, series_id, sum(count) AS count, sum(sum) AS sum
      FROM points_1min GROUP BY 1, 2 WITH NO DATA`);
    await client.query(`CALL refresh_continuous_aggregate('points_1min', NULL, '2025-01-03')`);
    await client.query(`CALL refresh_continuous_aggregate('points_1hour', NULL, '2025-01-03')`);
    assert.equal(await value(client, 'SELECT sum(count)::int FROM points_1hour'), 30_000); // live data included

    await client.query(`ALTER TABLE points SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'series_id', timescaledb.orderby = '"timestamp" DESC')`);
    await client.query(`SELECT compress_chunk(c) FROM show_chunks('points') c`);
    const { rows } = await client.query(`SELECT * FROM hypertable_columnstore_stats('points')`);
    assert.ok(Number(rows[0].after_compression_total_bytes) < Number(rows[0].before_compression_total_bytes));
    assert.equal(await value(client, 'SELECT count(*)::int FROM points WHERE series_id = 1'), 10_000);
    assert.equal(await value(client, `SELECT count(*)::int FROM (SELECT time_bucket_gapfill('1 hour', "timestamp", timestamptz '2024-12-31', timestamptz '2025-01-02') b
      FROM points WHERE "timestamp" >= '2024-12-31' AND "timestamp" < '2025-01-02' GROUP BY 1) g`), 48);
  }));

test('the policies of TimescaleDB can be added', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE policies (at timestamptz NOT NULL, v int)');
    await client.query(`SELECT create_hypertable('policies', 'at')`);
    await client.query(`ALTER TABLE policies SET (timescaledb.enable_columnstore)`);
    await client.query(`CALL add_columnstore_policy('policies', after => interval '7 days')`);
    await client.query(`SELECT add_retention_policy('policies', interval '30 days')`);
    assert.equal(await value(client, `SELECT count(*)::int FROM timescaledb_information.jobs WHERE hypertable_name = 'policies'`), 2);
  }));
