// Tests of the command: its options, its shutdown, and the data folder.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, runCommand, startServer, until, value, withClients } from './support/server.mjs';

const LIMIT = { timeout: 30_000 };
const scratch = mkdtempSync(join(tmpdir(), 'embedded-timescaledb-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('--help explains every option and exits with 0', LIMIT, async () => {
  const help = runCommand(['--help']);
  assert.equal(await help.ended, 0);
  for (const option of ['--port', '--data', '--memory', '--job-interval', '--exit-with-stdin']) assert.match(help.stdout, new RegExp(option));
});

test('bad options are refused with what is accepted, and exit with 2', LIMIT, async () => {
  const cases = [
    [['--prot', '1'], /unknown option "--prot"/], [['--port', '65536'], /0 to 65535/], [['--port', '1.5'], /whole number/],
    [['--port'], /0 to 65535/], [['--port='], /0 to 65535/], [['--data'], /path of a folder/], [['--job-interval', '0'], /0.1 to 86400/],
    [['--memory', '--data', 'x'], /exclude each other/], [['--host', '0.0.0.0'], /unknown option/],
  ];
  await Promise.all(cases.map(async ([args, text]) => {
    const command = runCommand(args);
    assert.equal(await command.ended, 2, args.join(' '));
    assert.match(command.stderr, text);
    assert.match(command.stderr, /Usage:/);
    assert.equal(command.stdout, '');
  }));
});

test('standard output is one line; a second server on its port is refused', LIMIT, async () => {
  const server = await startServer();
  assert.match(server.stdout, /^listening on postgres:\/\/postgres@127\.0\.0\.1:\d+\/tidegauge\n$/);
  const second = runCommand(['--port', String(server.port)]);
  assert.equal(await second.ended, 1);
  assert.match(second.stderr, /in use/);
  await withClients(server, 1, (client) => client.query('SELECT * FROM timescaledb_information.jobs'));
  assert.equal(await server.stop('SIGINT'), 0);
  assert.equal(server.stdout.split('\n').length, 2);
});

test('it ends when standard input closes', LIMIT, async () => {
  const server = await startServer();
  server.child.stdin.end();
  assert.equal(await server.ended, 0);
});

test('a data folder survives SIGTERM in the middle of a transaction, and a second use is refused', LIMIT, async () => {
  const folder = join(scratch, 'kept');
  const first = await startServer('--data', folder);
  const client = await connect(first);
  await client.query(`CREATE TABLE kept (at timestamptz NOT NULL, v int)`);
  await client.query(`SELECT create_hypertable('kept', 'at')`);
  await client.query(`INSERT INTO kept VALUES (now(), 1)`);
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES (now(), 2)');
  const rival = runCommand(['--port', '0', '--data', folder]);
  assert.equal(await rival.ended, 1);
  assert.match(rival.stderr, /used by another server/);
  assert.equal(await first.stop('SIGTERM'), 0);

  const second = await startServer('--data', folder);
  await withClients(second, 1, async (again) => {
    assert.equal(await value(again, 'SELECT string_agg(v::text, \',\') FROM kept'), '1');
    assert.equal(await value(again, 'SELECT current_database()'), 'tidegauge');
  });
  assert.equal(await second.stop(), 0);
});

test('what was committed survives SIGKILL, and the folder can be used again', LIMIT, async () => {
  const folder = join(scratch, 'killed');
  const first = await startServer('--data', folder);
  await withClients(first, 1, (client) => client.query('CREATE TABLE kept (v int); INSERT INTO kept VALUES (1)'));
  await first.stop('SIGKILL');
  const second = await startServer('--data', folder);
  await withClients(second, 1, async (client) => assert.equal(await value(client, 'SELECT v FROM kept'), 1));
  assert.equal(await second.stop(), 0);
});

test('a first start that was cut off begins again', LIMIT, async () => {
  const folder = join(scratch, 'cut');
  const first = runCommand(['--port', '0', '--data', folder]);
  await until(async () => (await import('node:fs')).existsSync(join(folder, 'database', 'PG_VERSION')));
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await startServer('--data', folder);
  await withClients(second, 1, async (client) => assert.equal(await value(client, 'SELECT 1'), 1));
  assert.equal(await second.stop(), 0);
});

test('a folder that holds something else is refused and left alone', LIMIT, async () => {
  const folder = mkdtempSync(join(scratch, 'foreign-'));
  writeFileSync(join(folder, 'letter.txt'), 'dear');
  const command = runCommand(['--port', '0', '--data', folder]);
  assert.equal(await command.ended, 1);
  assert.match(command.stderr, /letter\.txt/);
});

test('a second signal ends it at once, even while a statement runs', LIMIT, async () => {
  const server = await startServer();
  const client = await connect(server);
  const endless = client.query('SELECT count(*) FROM generate_series(1, 1000000000)').catch(() => {});
  const started = Date.now();
  server.child.kill('SIGTERM');
  // Two simultaneous signals would be merged into one.
  await new Promise((resolve) => setTimeout(resolve, 100));
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 1);
  assert.ok(Date.now() - started < 5_000);
  await endless;
});
