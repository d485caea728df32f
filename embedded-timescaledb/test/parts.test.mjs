// Unit tests of parts that need no database.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { message, query } from '../src/protocol.mjs';
import { ReplyScanner } from '../src/reply-scanner.mjs';
import { FrameFeed } from '../src/frame-feed.mjs';
import { createShared, RingReader, RingWriter } from '../src/ring.mjs';
import { inspect } from '../src/sql.mjs';
import { Settings } from '../src/settings.mjs';

const traits = (sql) => Object.entries(inspect(sql)).filter(([, on]) => on === true).map(([name]) => name);

test('SQL is known for what it may do to the session', () => {
  const cases = [
    ['SELECT 1', []], ['UPDATE t SET a = 1', []], ['INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2', []],
    ['set timezone = 1', ['settings']], ['SELECT 1; /* x */ SET a = 1', ['settings']], ['-- SET\nRESET ALL', ['settings']],
    [`SELECT '; SET a = 1'`, []], ['SELECT $x$; SET a = 1$x$', []], [`SELECT set_config('a.b', 'c', false)`, ['settings']],
    ['SELECT pg_try_advisory_lock_shared(1)', ['locks']], ['SELECT pg_advisory_xact_lock(1)', []],
    ['COPY "points" ("timestamp") FROM STDIN WITH (FORMAT binary)', ['copyIn']], ['COPY t TO STDOUT', []], ['COPY t FROM \'/file\'', []],
    ['DISCARD ALL', ['settings', 'dropsStatements']], ['DEALLOCATE ALL', ['dropsStatements']], ['DEALLOCATE x', []],
    ['ALTER ROLE x LOGIN', ['roles']], ['CREATE TEMP TABLE x (a int)', ['temporary']], ['LISTEN x', ['listens']],
    [`SET NAMES 'latin1'`, ['settings', 'otherEncoding']], [`SET client_encoding TO 'UTF8'`, ['settings']],
  ];
  for (const [sql, expected] of cases) assert.deepEqual(traits(sql), expected, sql);
  assert.deepEqual(inspect(`SET app.tenant = 'x'`).customSettings, ['app.tenant']);
});

test('a reply is understood the same however it is cut', () => {
  const row = message('D', Buffer.alloc(50));
  const whole = Buffer.concat([message('1'), message('T', Buffer.alloc(9)), row, row, message('C', 'SELECT 2'), message('Z', Buffer.from('I'))]);
  for (let size = 1; size <= whole.length; size++) {
    const scanner = new ReplyScanner();
    const types = [];
    const passed = [];
    const sink = {
      message: (type) => types.push(type) && type !== '1' && type !== 'C',
      bytes: (bytes) => passed.push(Buffer.from(bytes)),
    };
    for (let at = 0; at < whole.length; at += size) scanner.push(whole.subarray(at, at + size), sink);
    assert.equal(types.join(''), '1TCZ');
    assert.deepEqual(Buffer.concat(passed), Buffer.concat([message('T', Buffer.alloc(9)), row, row, message('Z', Buffer.from('I'))]));
  }
});

test('the ring keeps the order of bytes over its end and takes no more than it holds', () => {
  const shared = createShared();
  const writer = new RingWriter(shared);
  let spaces = 0;
  const reader = new RingReader(shared, () => spaces++);
  const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, index) => index % 251));
  const target = Buffer.alloc(bytes.length);
  for (let round = 0; round < 5; round++) {
    assert.equal(writer.write(bytes, 0), bytes.length);
    assert.ok(writer.write(bytes, 0) < bytes.length);
    assert.equal(writer.awaitSpace(), true);
    for (let read = 0; read < bytes.length; ) read += reader.read(target, read, bytes.length - read);
    assert.ok(target.equals(bytes));
    while (reader.unread()) reader.read(target, 0, target.length);
    assert.equal(spaces, round + 1);
  }
});

test('settings with quotes cannot leave their literal', () => {
  const sql = new Settings({ application_name: `a'; DROP TABLE x; --\\` }, 'bad"name').apply();
  assert.ok(sql.includes(`set_config(E'application_name', E'a\\'; DROP TABLE x; --\\\\', false)`));
  assert.ok(sql.includes('SET SESSION AUTHORIZATION "bad""name"'));
  assert.equal(query('x').at(-1), 0);
});

test('the backend is given one message at a time, or several CopyData, whatever it asks for', () => {
  const shared = createShared();
  const writer = new RingWriter(shared);
  const feed = new FrameFeed(new RingReader(shared, () => {}));
  const data = message('d', Buffer.alloc(20));
  writer.write(Buffer.concat([message('Q', 'COPY'), data, data, message('c'), message('S')]), 0);
  const target = Buffer.alloc(100);
  const read = (max) => target.toString('latin1', 0, feed.read(target, 0, max)).replace(/[^QdcS]/g, '');
  assert.deepEqual([read(100), read(100), read(100), read(100)], ['Q', 'dd', 'c', 'S']);
  writer.write(Buffer.concat([data, data, message('c')]), 0);
  const sizes = [];
  while (feed.ring.unread()) sizes.push(feed.read(target, 0, 7));
  assert.deepEqual(sizes, [7, 7, 7, 4, 7, 7, 7, 4, 5]);
});
