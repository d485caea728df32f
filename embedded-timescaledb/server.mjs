#!/usr/bin/env node
// The command line program: starts the database and the listener, and shuts them down in order.
// Does not depend on the wire protocol.

import { Backend } from './src/backend.mjs';
import { startCheckpoints } from './src/checkpoints.mjs';
import { DataFolder, FolderError } from './src/data-folder.mjs';
import { Engine } from './src/engine.mjs';
import { startJobs } from './src/jobs.mjs';
import { Listener } from './src/listener.mjs';
import { DATABASE } from './src/names.mjs';
import { BadOption, parseOptions, USAGE } from './src/options.mjs';

/** Milliseconds that a running statement gets to end; it cannot be interrupted. */
const GRACE = 10_000;

function fail(text, code) {
  console.error(text);
  process.exit(code);
}

function readOptions() {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof BadOption)) throw error;
    return fail(`${error.message}\n\n${USAGE}`, 2);
  }
}

function takeFolder(path) {
  try {
    const folder = new DataFolder(path);
    process.on('exit', () => folder.unlock());
    return folder;
  } catch (error) {
    if (!(error instanceof FolderError)) throw error;
    return fail(error.message, 1);
  }
}

async function openEngine(folder) {
  const isNew = folder?.isNew ?? true;
  if (folder && isNew) folder.markUnfinished();
  const engine = new Engine({
    folder: folder?.database ?? null,
    isNew,
    onFailure: (error) => fail(`the database crashed: ${error.stack ?? error}`, 1),
  });
  await engine.ready;
  folder?.markFinished();
  return engine;
}

async function main(options) {
  const folder = options.folder && takeFolder(options.folder);
  const engine = await openEngine(folder);
  const backend = new Backend(engine);
  const listener = new Listener(backend);
  const background = [startJobs(backend, options.jobInterval), startCheckpoints(backend)];
  const stop = stopOnce(async () => {
    await Promise.all([listener.close(), ...background.map((each) => each.stop())]);
    await engine.close();
  });
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  if (options.exitWithStdin) process.stdin.on('end', stop).on('error', stop).resume();
  const onError = (error) => fail(portError(error, options.port), 1);
  const port = await listener.listen(options.port).catch(onError);
  console.log(`listening on postgres://postgres@127.0.0.1:${port}/${DATABASE}`);
}

function portError(error, port) {
  if (error.code === 'EADDRINUSE') {
    return `port ${port} of 127.0.0.1 is in use: choose another with --port, or 0 for a free one`;
  }
  return `cannot listen on port ${port} of 127.0.0.1: ${error.message}`;
}

/** Returns a handler: the first call shuts down in order, a second one exits at once. */
function stopOnce(close) {
  let stopping = false;
  return async () => {
    if (stopping) process.exit(1);
    stopping = true;
    const text = `a statement did not end within ${GRACE / 1000} s: exiting without closing the database; \
the next start recovers it`;
    setTimeout(() => fail(text, 1), GRACE).unref();
    await close().catch((error) => fail(`cannot close the database cleanly: ${error.message}`, 1));
    process.exit(0);
  };
}

const options = readOptions();
if (options.help) process.stdout.write(USAGE);
else await main(options);
