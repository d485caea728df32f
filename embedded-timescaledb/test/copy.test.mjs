// Tests of COPY in both directions and both protocols, and of the state after a failed COPY.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { bind, copyData, copyDone, copyFail, describe, execute, parse, query, RawClient, sync } from './support/raw-client.mjs';
import { startServer, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 20_000 };
let server;
before(async () => {
  server = await startServer('--job-interval', '3600');
}, LIMIT);
after(() => server?.stop(), LIMIT);

const copyIn = (client, sql, chunks) => pipeline(Readable.from(chunks), client.query(copyFrom(sql)));

async function copyOut(client, sql) {
  const chunks = [];
  for await (const chunk of client.query(copyTo(sql))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Returns `count` rows of (int4, float8) in PostgreSQL's binary COPY format. */
function binaryRows(count) {
  const rows = Buffer.alloc(22 * count);
  for (let index = 0; index < count; index++) {
    const at = 22 * index;
    rows.writeInt16BE(2, at);
    rows.writeInt32BE(4, at + 2);
    rows.writeInt32BE(index, at + 6);
    rows.writeInt32BE(8, at + 10);
    rows.writeDoubleBE(index / 2, at + 14);
  }
  return Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1'), rows, Buffer.from([255, 255])]);
}

test('COPY in and out gives back the same rows, in text and in binary', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE two_ways (a int, b float8)');
    await copyIn(client, 'COPY two_ways FROM STDIN', ['1\t0.5\n2', '\t1', '.5\n']);
    assert.equal((await copyOut(client, 'COPY two_ways TO STDOUT')).toString(), '1\t0.5\n2\t1.5\n');
    await client.query('TRUNCATE two_ways');
    const data = binaryRows(1000);
    await copyIn(client, 'COPY two_ways FROM STDIN (FORMAT binary)', [data]);
    assert.deepEqual(await copyOut(client, 'COPY two_ways TO STDOUT (FORMAT binary)'), data);
  }));

test('a COPY larger than every buffer goes in and comes out whole', LIMIT, () =>
  withClients(server, 1, async (client) => {
    const count = 600_000; // 13 MB: larger than ring, block and unsent limit
    const data = binaryRows(count);
    await client.query('CREATE TABLE large (a int, b float8)');
    await copyIn(client, 'COPY large FROM STDIN (FORMAT binary)', [data]);
    assert.equal(await value(client, 'SELECT count(*)::int FROM large'), count);
    assert.ok((await copyOut(client, 'COPY large TO STDOUT (FORMAT binary)')).equals(data));
  }));

test('the answer to COPY says the right format and number of columns', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE shape (a int, b int, c int)'));
  await client.upTo('Z');
  client.send(query('COPY shape (a, c) FROM STDIN (FORMAT binary)'));
  const { type, bytes } = await client.next();
  assert.deepEqual([type, ...bytes.subarray(5)], ['G', 1, 0, 2, 0, 1, 0, 1]);
  client.send(copyFail('enough'));
  assert.deepEqual(await client.upTo('Z'), ['E57014', 'ZI']);
  await client.close();
});

test('COPY works through the extended protocol', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE extended (a int)'));
  await client.upTo('Z');
  client.send(parse('s0', 'COPY extended FROM STDIN'), describe('S', 's0'), sync);
  assert.deepEqual(await client.upTo('Z'), ['1', 't', 'n', 'ZI']);
  for (let round = 0; round < 2; round++) {
    client.send(bind('', 's0'), execute(''), sync);
    assert.deepEqual(await client.upTo('G'), ['2', 'G']);
    client.send(copyData('1\n2'), copyData('2\n'), copyDone, sync);
    assert.deepEqual(await client.upTo('Z'), ['C', 'ZI']);
  }
  client.send(parse('', 'SELECT count(*) FROM extended'), bind('', ''), execute(''), sync);
  assert.match((await rowText(client)), /4$/);
  await client.close();
});

async function rowText(client) {
  for (;;) {
    const { type, bytes } = await client.next();
    if (type === 'D') {
      await client.upTo('Z');
      return bytes.toString();
    }
  }
}

test('a COPY that fails in the extended protocol leaves a working session', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE extended_bad (a int)'));
  await client.upTo('Z');
  client.send(parse('', 'COPY extended_bad FROM STDIN'), bind('', ''), execute(''), sync);
  assert.deepEqual(await client.upTo('G'), ['1', '2', 'G']);
  client.send(copyData('not a number\n'), copyData('1\n'), copyDone, sync);
  assert.deepEqual(await client.upTo('Z'), ['E22P02', 'ZI']);
  client.send(parse('', 'COPY nowhere FROM STDIN'), bind('', ''), execute(''), sync);
  assert.deepEqual(await client.upTo('Z'), ['1', '2', 'E42P01', 'ZI']);
  client.send(query('SELECT 1'));
  assert.deepEqual(await client.upTo('Z'), ['T', 'D', 'C', 'ZI']);
  await client.close();
});

test('a client that sends COPY data without waiting for the answer is served', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE eager (a int)'), query('COPY eager FROM STDIN'), copyData('1\n'), copyDone, query('SELECT 1'));
  for (const expected of [['C', 'ZI'], ['G', 'C', 'ZI'], ['T', 'D', 'C', 'ZI']]) assert.deepEqual(await client.upTo('Z'), expected);
  client.send(query('COPY nowhere FROM STDIN'), copyData('1\n'), copyDone, query('SELECT 1'));
  for (const expected of [['E42P01', 'ZI'], ['T', 'D', 'C', 'ZI']]) assert.deepEqual(await client.upTo('Z'), expected);
  await client.close();
});

test('a failed COPY gives its own error and the session goes on', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE strict (a int)');
    await assert.rejects(copyIn(client, 'COPY nowhere FROM STDIN', ['1\n']), { code: '42P01' });
    await assert.rejects(copyIn(client, 'COPY strict (nothing) FROM STDIN', ['1\n']), { code: '42703' });
    await assert.rejects(copyIn(client, 'COPY strict FROM STDIN', ['1\nbad\n']), { code: '22P02' });
    await assert.rejects(copyIn(client, 'COPY strict FROM STDIN (FORMAT binary)', ['nonsense and more of it']), { code: '22P04' });
    assert.equal(await value(client, 'SELECT count(*)::int FROM strict'), 0);
    await client.query('BEGIN');
    await assert.rejects(copyIn(client, 'COPY strict FROM STDIN', ['bad\n']), { code: '22P02' });
    await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
    await client.query('ROLLBACK');
  }));

test('COPY in the middle of several statements works', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE middle (a int); COPY middle FROM STDIN; SELECT a FROM middle'));
  assert.deepEqual(await client.upTo('G'), ['C', 'G']);
  client.send(copyData('1\n'), copyDone);
  assert.deepEqual(await client.upTo('Z'), ['C', 'T', 'D', 'C', 'ZI']);
  await client.close();
});

test('a message that has no place in COPY ends its client only', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TEMP TABLE place (a int)'), query('COPY place FROM STDIN'));
  await client.upTo('G');
  client.send(query('SELECT 1'));
  assert.deepEqual(await client.upTo('Z'), ['E08P01', 'closed']);
  await withClients(server, 1, async (next) => assert.equal(await value(next, 'SELECT 1'), 1));
});

test('messages sent after the Execute of a COPY, without waiting for it, end their client only', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(query('CREATE TABLE hasty (a int)'));
  await client.upTo('Z');
  client.send(parse('', 'COPY hasty FROM STDIN'), bind('', ''), execute(''), bind('', ''), execute(''), sync);
  assert.deepEqual(await client.upTo('Z'), ['1', '2', 'G', 'E08P01', 'closed']);
  await withClients(server, 1, async (next) => assert.equal(await value(next, 'SELECT 1'), 1));
});

const DIE_IN_COPY = `
  import pg from 'pg';
  import { from } from 'pg-copy-streams';
  const client = new pg.Client(process.argv[1]);
  await client.connect();
  const stream = client.query(from('COPY cut FROM STDIN'));
  stream.write('1\\n'.repeat(100000), () => console.log('inside'));
  setInterval(() => {}, 1000);`;

test('a client killed in a COPY stores nothing and the next one is served', LIMIT, () =>
  withClients(server, 1, async (client) => {
    await client.query('CREATE TABLE cut (a int)');
    const victim = spawn(process.execPath, ['--input-type=module', '-e', DIE_IN_COPY, server.url], {
      cwd: new URL('..', import.meta.url), stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(victim.stdout, 'data');
    const count = value(client, 'SELECT count(*)::int FROM cut');
    victim.kill('SIGKILL');
    assert.equal(await count, 0);
  }));

test('a client that vanishes in half a CopyData stores nothing', LIMIT, () =>
  withClients(server, 1, async (next) => {
    await next.query('CREATE TABLE half_sent (a int)');
    const client = await RawClient.open(server.port);
    client.send(parse('', 'COPY half_sent FROM STDIN'), bind('', ''), execute(''), sync);
    await client.upTo('G');
    client.send(copyData('1\n'), copyData('2\n'.repeat(1000)).subarray(0, 500));
    await client.close();
    assert.equal(await value(next, 'SELECT count(*)::int FROM half_sent'), 0);
  }));

test('a client that stops reading a large result and goes away holds nobody up', LIMIT, () =>
  withClients(server, 1, async (next) => {
    const client = await RawClient.open(server.port);
    client.socket.pause();
    client.send(query(`COPY (SELECT repeat('x', 1000) FROM generate_series(1, 30000)) TO STDOUT`));
    const answer = value(next, 'SELECT 1');
    await client.close();
    assert.equal(await answer, 1);
  }));
