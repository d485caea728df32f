// Tests of sessions: each client sees only its own state, and a lost client leaves nothing behind.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { bind, describe, execute, flush, parse, query, RawClient, sync } from './support/raw-client.mjs';
import { connect, startServer, until, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 20_000 };
let server;
before(async () => {
  server = await startServer('--job-interval', '3600');
}, LIMIT);
after(() => server?.stop(), LIMIT);

test('two clients with equal statement names do not see each other\'s statements', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    const add = { name: 'same', text: 'SELECT $1::int + 1' };
    const multiply = { name: 'same', text: 'SELECT $1::int * 10' };
    for (let round = 1; round < 4; round++) {
      const sum = await one.query({ ...add, values: [round], rowMode: 'array' });
      const product = await two.query({ ...multiply, values: [round], rowMode: 'array' });
      assert.deepEqual([sum.rows[0][0], product.rows[0][0]], [round + 1, round * 10]);
    }
  }));

test('the unnamed statement of a client outlives the queries of another', LIMIT, async () => {
  const one = await RawClient.open(server.port);
  const two = await RawClient.open(server.port);
  one.send(parse('', 'SELECT 1'), describe('S', ''), sync);
  assert.deepEqual(await one.upTo('Z'), ['1', 't', 'T', 'ZI']);
  two.send(query('SELECT 2'), parse('', 'SELECT 3, 4'), sync);
  await two.upTo('Z');
  await two.upTo('Z');
  one.send(bind('', ''), execute(''), sync);
  assert.deepEqual(await one.upTo('Z'), ['2', 'D', 'C', 'ZI']);
  await Promise.all([one.close(), two.close()]);
});

test('a transaction stays whole while another client asks', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    await one.query('CREATE TABLE whole (a int)');
    await one.query('BEGIN');
    await one.query('INSERT INTO whole VALUES (1)');
    const count = value(two, 'SELECT count(*)::int FROM whole');
    await one.query('INSERT INTO whole VALUES (2)');
    await one.query('COMMIT');
    assert.equal(await count, 2);
  }));

test('waiting clients are served in the order they came', LIMIT, () =>
  withClients(server, 4, async (first, ...others) => {
    await first.query('BEGIN');
    const order = [];
    const answers = [];
    for (const [index, client] of others.entries()) {
      answers.push(client.query('SELECT 1').then(() => order.push(index)));
      // Separates the arrivals: their order matters, not the time.
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await first.query('COMMIT');
    await Promise.all(answers);
    assert.deepEqual(order, [0, 1, 2]);
  }));

test('after an error everything up to Sync is skipped and the session goes on', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(parse('bad', 'SELECT 1 / (random() * 0)::int'), bind('', 'bad'), execute(''), bind('', 'bad'), execute(''), sync, query('SELECT 1'));
  assert.deepEqual(await client.upTo('Z'), ['1', '2', 'E22012', 'ZI']);
  assert.deepEqual(await client.upTo('Z'), ['T', 'D', 'C', 'ZI']);
  client.send(parse('worse', 'SELECT nothing'), flush);
  assert.deepEqual(await client.upTo('E'), ['E42703']);
  client.send(query('SELECT 1'), bind('', 'worse'), sync);
  assert.deepEqual(await client.upTo('Z'), ['ZI']);
  await client.close();
});

test('a query sent right after a failing message is skipped too, and does not hang', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(parse('', 'SELECT nothing'), execute(''), query('SELECT 1'), sync);
  assert.deepEqual(await client.upTo('Z'), ['E42703', 'ZI']);
  await client.close();
});

test('messages may be cut anywhere and flushed without Sync', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  const all = Buffer.concat([parse('p', 'SELECT generate_series(1, 3)'), describe('S', 'p'), bind('x', 'p'), execute('x', 2), flush]);
  for (const byte of all) client.send(Buffer.of(byte));
  assert.deepEqual(await client.upTo('s'), ['1', 't', 'T', '2', 'D', 'D', 's']);
  client.send(execute('x'), sync);
  assert.deepEqual(await client.upTo('Z'), ['D', 'C', 'ZI']);
  await client.close();
});

test('many messages in one piece are all answered, large ones too', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  const long = `SELECT '${'x'.repeat(100_000)}'`;
  const round = [parse('', long), bind('', ''), execute(''), parse('', 'SELECT 2'), bind('', ''), execute(''), sync, query(long), query(';')];
  for (let rounds = 0; rounds < 10; rounds++) client.send(...round);
  for (let rounds = 0; rounds < 10; rounds++) {
    for (const expected of [['1', '2', 'D', 'C', '1', '2', 'D', 'C', 'ZI'], ['T', 'D', 'C', 'ZI'], ['I', 'ZI']]) {
      assert.deepEqual(await client.upTo('Z'), expected);
    }
  }
  await client.close();
});

test('one simple query may hold several statements', LIMIT, () =>
  withClients(server, 1, async (client) => {
    const results = await client.query('SELECT 1 AS a; SELECT 2 AS a');
    assert.deepEqual(results.map((result) => result.rows[0].a), [1, 2]);
    await assert.rejects(client.query('CREATE TABLE half (a int); SELECT 1/0'), { code: '22012' });
    assert.equal(await value(client, `SELECT to_regclass('half')`), null);
  }));

test('DISCARD ALL of one client does not cost the others their statements', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    const statement = { name: 'kept', text: 'SELECT 7 AS seven' };
    await one.query(statement);
    await two.query(statement);
    await two.query('DISCARD ALL');
    assert.equal((await one.query(statement)).rows[0].seven, 7);
  }));

test('a client\'s statements are gone when it is', LIMIT, async () => {
  await withClients(server, 3, (...clients) =>
    Promise.all(clients.map((client) => client.query({ name: 'short-lived', text: `SELECT 'short-lived'` }))));
  await withClients(server, 1, (client) =>
    until(async () => (await value(client, `SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE '%short-lived''' `)) === 0));
});

const DIE_IN_TRANSACTION = `
  import pg from 'pg';
  const client = new pg.Client(process.argv[1]);
  await client.connect();
  await client.query('BEGIN');
  await client.query('INSERT INTO killed VALUES (1)');
  console.log('inside');
  setInterval(() => {}, 1000);`;

test('a client killed in a transaction is rolled back and the next one served', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE killed (a int)');
    const victim = spawn(process.execPath, ['--input-type=module', '-e', DIE_IN_TRANSACTION, server.url], {
      cwd: new URL('..', import.meta.url), stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(victim.stdout, 'data');
    const count = value(client, 'SELECT count(*)::int FROM killed');
    victim.kill('SIGKILL');
    assert.equal(await count, 0);
  }));

test('a client that vanishes in half a message is forgotten', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(parse('h', 'SELECT 1'), flush, query('SELECT 1').subarray(0, 7));
  await client.upTo('1');
  await client.close();
  await withClients(server, 1, async (next) => assert.equal(await value(next, 'SELECT 5'), 5));
});

test('200 connections in a row leave nothing behind', LIMIT, async () => {
  for (let index = 0; index < 200; index++) {
    await withClients(server, 1, async (client) => assert.equal(await value(client, 'SELECT $1::int', [index]), index));
  }
  await withClients(server, 1, (client) =>
    until(async () => (await value(client, 'SELECT count(*)::int FROM pg_prepared_statements')) <= 1));
  assert.doesNotMatch(server.stderr, /MaxListenersExceeded/);
});

test('50 connections at once all get their answers', LIMIT, () =>
  withClients(server, 50, async (...clients) => {
    const answers = await Promise.all(clients.map((client, index) => value(client, 'SELECT $1::int * 2', [index])));
    assert.deepEqual(answers, clients.map((_, index) => index * 2));
  }));

test('settings of one client do not reach another', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    const zone = (client) => value(client, `SELECT current_setting('TimeZone')`);
    assert.equal(await zone(one), 'UTC');
    await one.query(`SET TIME ZONE 'Europe/Berlin'; SET search_path TO pg_catalog`);
    assert.deepEqual([await zone(two), await zone(one), await zone(two)], ['UTC', 'Europe/Berlin', 'UTC']);
    assert.equal(await value(two, 'SHOW search_path'), '"$user", public');
    await one.query(`BEGIN; SET TIME ZONE 'Asia/Tokyo'; ROLLBACK`);
    assert.equal(await zone(one), 'Europe/Berlin');
    await one.query(`SELECT set_config('my.name', 'x', false)`);
    assert.equal(await value(two, `SELECT current_setting('my.name', true)`) || null, null);
    assert.equal(await value(one, `SELECT current_setting('my.name', true)`), 'x');
    await one.query('RESET TimeZone');
    assert.equal(await zone(one), 'UTC');
  }));

test('start-up parameters and options hold for their client only', LIMIT, async () => {
  const one = await connect(server, { application_name: 'first', options: '-c work_mem=7MB -c TimeZone=Asia/Tokyo' });
  await withClients(server, 1, async (two) => {
    for (let round = 0; round < 2; round++) {
      assert.deepEqual((await one.query(`SELECT current_setting('work_mem') m, current_setting('TimeZone') z, current_setting('application_name') n`)).rows,
        [{ m: '7MB', z: 'Asia/Tokyo', n: 'first' }]);
      assert.deepEqual((await two.query(`SELECT current_setting('work_mem') m, current_setting('TimeZone') z`)).rows, [{ m: '4MB', z: 'UTC' }]);
    }
  });
  await one.end();
  await assert.rejects(connect(server, { options: '-c no_such_setting=1' }), { code: '42704' });
});

test('a changed setting is reported to the client', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query(`SET TIME ZONE 'Asia/Tokyo'`));
  assert.deepEqual(await client.upTo('Z'), ['C', 'S', 'ZI']);
  await client.close();
});

test('roles are enforced: without the grant there is no insert', LIMIT, () =>
  withClients(server, 1, async (admin) => {
    await admin.query('CREATE TABLE guarded (a int); CREATE ROLE reader LOGIN; CREATE ROLE nobody NOLOGIN; GRANT SELECT ON guarded TO reader');
    const reader = await connect(server, { user: 'reader' });
    assert.deepEqual((await reader.query('SELECT * FROM guarded')).rows, []);
    await assert.rejects(reader.query('INSERT INTO guarded VALUES (1)'), { code: '42501' });
    await admin.query('INSERT INTO guarded VALUES (2)');
    assert.equal(await value(reader, 'SELECT current_user'), 'reader');
    assert.equal(await value(admin, 'SELECT current_user'), 'postgres');
    await reader.end();
    await assert.rejects(connect(server, { user: 'stranger' }), { code: '28000' });
    await assert.rejects(connect(server, { user: 'nobody' }), { code: '28000' });
    await assert.rejects(connect(server, { database: 'other' }), { code: '3D000' });
  }));

test('SET ROLE holds for its client only, and a login follows a dropped role', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    await one.query('CREATE ROLE actor LOGIN; SET ROLE actor');
    assert.equal(await value(two, 'SELECT current_user'), 'postgres');
    assert.equal(await value(one, 'SELECT current_user'), 'actor');
    await one.query('RESET ROLE');
    const actor = await connect(server, { user: 'actor' });
    await actor.end();
    await one.query('DROP ROLE actor');
    await assert.rejects(connect(server, { user: 'actor' }), { code: '28000' });
  }));

test('advisory locks exclude other clients until they are released', LIMIT, () =>
  withClients(server, 2, async (one, two) => {
    const seen = [];
    await one.query('SELECT pg_advisory_lock(42)');
    const waiting = two.query('SELECT pg_advisory_lock(42)').then(() => seen.push('two'));
    await one.query('SELECT 1');
    seen.push('one');
    await one.query('SELECT pg_advisory_unlock(42)');
    await waiting;
    assert.deepEqual(seen, ['one', 'two']);
    await two.query('SELECT pg_advisory_unlock(42)');
  }));

test('the advisory locks of a lost client are released', LIMIT, () =>
  withClients(server, 1, async (client) => {
    const lost = await RawClient.open(server.port);
    lost.send(query('SELECT pg_advisory_lock(43)'));
    await lost.upTo('Z');
    await lost.close();
    assert.equal(await value(client, 'SELECT pg_try_advisory_lock(43)'), true);
    assert.equal(await value(client, 'SELECT pg_advisory_unlock(43)'), true);
  }));
