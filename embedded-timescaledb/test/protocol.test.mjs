// Tests of broken and hostile clients: only their own connection ends.

import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { connect as tcpConnect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { int32, message } from '../src/protocol.mjs';
import { bind, parse, query, RawClient, startUp, sync } from './support/raw-client.mjs';
import { startServer, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 20_000 };
let server;
before(async () => {
  server = await startServer('--job-interval', '3600');
}, LIMIT);
after(() => server?.stop(), LIMIT);

const alive = () => withClients(server, 1, async (client) => assert.equal(await value(client, 'SELECT 1'), 1));

test('encryption requests are answered with N and the start goes on', LIMIT, async () => {
  const client = new RawClient(server.port);
  for (const code of [80877103, 80877104]) {
    client.send(int32(8), int32(code));
    while (client.data.length === 0) await new Promise((resolve) => (client.wake = resolve));
    assert.equal(client.data.toString(), 'N');
    client.data = Buffer.alloc(0);
  }
  client.send(startUp());
  const seen = await client.upTo('Z');
  assert.deepEqual([seen[0], seen.at(-2), seen.at(-1)], ['R', 'K', 'ZI']);
  await client.close();
});

test('the start reports the values of the real server', LIMIT, () =>
  withClients(server, 1, async (client) => {
    const raw = new RawClient(server.port);
    raw.send(startUp());
    const reported = {};
    for (let found; (found = await raw.next()).type !== 'Z'; ) {
      if (found.type !== 'S') continue;
      const [name, text] = found.bytes.toString('utf8', 5).split('\0');
      reported[name] = text;
    }
    for (const name of ['server_version', 'integer_datetimes', 'standard_conforming_strings', 'client_encoding', 'TimeZone', 'DateStyle']) {
      assert.equal(reported[name], await value(client, `SELECT current_setting('${name}')`), name);
    }
    await raw.close();
  }));

test('a cancel request is closed in silence', LIMIT, async () => {
  const client = new RawClient(server.port);
  client.send(int32(16), int32(80877102), int32(1), int32(2));
  assert.deepEqual(await client.upTo('Z'), ['closed']);
});

test('malformed start-up packets are refused', LIMIT, async () => {
  const packets = [
    int32(10_001), int32(4), int32(-1), Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.concat([int32(12), int32(196608), Buffer.from('user')]),
  ];
  for (const packet of packets) {
    const client = new RawClient(server.port);
    client.send(packet);
    assert.deepEqual(await client.upTo('Z'), ['E08P01', 'closed']);
  }
  const old = new RawClient(server.port);
  old.send(int32(8), int32(131072));
  assert.deepEqual(await old.upTo('Z'), ['E0A000', 'closed']);
  await alive();
});

test('malformed messages end their connection with 08P01', LIMIT, async () => {
  const head = (type, length) => Buffer.concat([Buffer.from(type), int32(length)]);
  const messages = [
    head('z', 4), head('Q', 3), head('Q', -5), head('Q', 0x7fffffff), head('p', 4),
    message('P', Buffer.from('no end')), message('B', Buffer.from('x')), Buffer.concat([message('D'), sync]), message('Q', Buffer.from('no end')),
  ];
  for (const bytes of messages) {
    const client = await RawClient.open(server.port);
    client.send(bytes);
    assert.deepEqual(await client.upTo('Z'), ['E08P01', 'closed'], bytes.toString('latin1'));
  }
  await alive();
});

test('a message whose inside is wrong is an error, not the end', LIMIT, async () => {
  const client = await RawClient.open(server.port);
  client.send(parse('s', 'SELECT $1::int'), message('B', '', 's', Buffer.from([0, 5, 0, 3])), sync);
  assert.deepEqual(await client.upTo('Z'), ['1', 'E08P01', 'ZI']);
  client.send(message('P', 't', 'SELECT 1', Buffer.from([0, 9])), sync);
  assert.deepEqual(await client.upTo('Z'), ['E08P01', 'ZI']);
  client.send(message('E', Buffer.from('\0')), sync);
  assert.match((await client.upTo('Z')).join(), /^E.*ZI$/);
  client.send(message('D', Buffer.from('X\0')), sync);
  assert.match((await client.upTo('Z')).join(), /^E.*ZI$/);
  client.send(message('C', Buffer.from('X\0')), sync);
  assert.match((await client.upTo('Z')).join(), /^E.*ZI$/);
  client.send(message('F', int32(1)));
  assert.match((await client.upTo('Z')).join(), /^E.*ZI$/);
  client.send(bind('', 'none'), query('SELECT 1'), sync);
  assert.deepEqual(await client.upTo('Z'), ['E26000', 'ZI']);
  await client.close();
  await alive();
});

test('random bytes do no harm', LIMIT, async () => {
  for (let round = 0; round < 60; round++) {
    const client = new RawClient(server.port);
    if (round % 2) client.send(startUp());
    client.send(randomBytes(randomInt(1, 3000)));
    client.socket.end();
    await client.upTo('nothing');
  }
  await alive();
});

test('random messages of known types do no harm', LIMIT, async () => {
  for (let round = 0; round < 150; round++) {
    const client = await RawClient.open(server.port);
    for (let count = randomInt(1, 6); count > 0; count--) {
      const type = 'PBDECSHFdcf'[randomInt(11)];
      const body = randomInt(2) ? randomBytes(randomInt(0, 40)) : Buffer.alloc(randomInt(0, 20));
      client.send(message(type, body));
    }
    client.send(sync);
    client.socket.end();
    await client.upTo('nothing');
  }
  await alive();
});

test('the server listens on loopback only', LIMIT, async () => {
  const addresses = Object.values(networkInterfaces()).flat().filter((address) => !address.internal && address.family === 'IPv4');
  for (const { address } of addresses) {
    const error = await new Promise((resolve) => {
      tcpConnect(server.port, address).on('connect', () => resolve(null)).on('error', resolve);
    });
    assert.equal(error?.code, 'ECONNREFUSED', address);
  }
});
