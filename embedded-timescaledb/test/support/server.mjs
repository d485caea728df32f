// Starts real servers as child processes, and connects real clients to them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const SERVER = fileURLToPath(new URL('../../server.mjs', import.meta.url));

/** Starts the command and collects its output; `ended` resolves to its exit code. */
export function runCommand(args, options = {}) {
  const child = spawn(process.execPath, [SERVER, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const command = { child, stdout: '', stderr: '' };
  child.stdout.on('data', (text) => (command.stdout += text));
  child.stderr.on('data', (text) => (command.stderr += text));
  command.ended = once(child, 'close').then(([code]) => code);
  return command;
}

/** Starts a server on a free port. It ends with the test process, even if that is killed. */
export async function startServer(...args) {
  const server = runCommand(['--port', '0', '--exit-with-stdin', ...args]);
  const early = server.ended.then((code) => {
    throw new Error(`the server ended with code ${code}: ${server.stderr}`);
  });
  early.catch(() => {});
  await Promise.race([until(() => server.stdout.includes('\n')), early]);
  server.url = server.stdout.trim().split(' ').at(-1);
  server.port = Number(new URL(server.url).port);
  server.stop = async (signal = 'SIGTERM') => {
    server.child.kill(signal);
    return server.ended;
  };
  return server;
}

/** Waits for a condition, up to the time limit of the test. */
export async function until(condition) {
  for (;;) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function connect(server, options = {}) {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'tidegauge', ...options });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Runs `work` with connected clients, and disconnects them afterwards. */
export async function withClients(server, count, work) {
  const clients = [];
  try {
    for (let index = 0; index < count; index++) clients.push(await connect(server));
    return await work(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }
}

export async function value(client, sql, values) {
  const { rows } = await client.query({ text: sql, values, rowMode: 'array' });
  return rows[0]?.[0];
}
