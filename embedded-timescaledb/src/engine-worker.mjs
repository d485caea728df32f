// The database thread: feeds bytes of the PostgreSQL protocol to the WebAssembly backend. Does not
// depend on clients.

import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.mjs';
import { FrameFeed } from './frame-feed.mjs';
import { RingReader } from './ring.mjs';

/** Output is sent in blocks of this many bytes. */
const BLOCK = 64 * 1024;
const TERMINATE = Uint8Array.of(0x58, 0, 0, 0, 4);

const ring = new RingReader(workerData.shared, () => parentPort.postMessage({ space: true }));
const feed = new FrameFeed(ring);
const block = new Uint8Array(BLOCK);
let filled = 0;
let farewell = null;

function send(bytes) {
  parentPort.postMessage({ output: bytes }, [bytes.buffer]);
  ring.produced(bytes.length);
}

function flush() {
  if (filled === 0) return;
  const bytes = block.slice(0, filled);
  filled = 0;
  send(bytes);
}

function connect(module) {
  const write = (pointer, length) => {
    const bytes = module.HEAPU8.subarray(pointer, pointer + length);
    if (filled + length > BLOCK) flush();
    if (length > BLOCK) send(bytes.slice());
    else {
      block.set(bytes, filled);
      filled += length;
    }
    return length;
  };
  // The backend calls this in the middle of a message and during COPY. It blocks this thread until
  // the client has sent more.
  const read = (pointer, max) => {
    if (farewell) {
      const length = Math.min(max, farewell.length);
      module.HEAPU8.set(farewell.subarray(0, length), pointer);
      farewell = farewell.subarray(length);
      return length;
    }
    if (ring.unread() === 0) flush();
    return feed.read(module.HEAPU8, pointer, max);
  };
  module._set_read_write_cbs(module.addFunction(read, 'iii'), module.addFunction(write, 'iii'));
}

async function close(database) {
  farewell = TERMINATE;
  database.Module._interactive_one(TERMINATE.length, TERMINATE[0]);
  database.Module._pgl_shutdown();
  await database.fs.closeFs();
}

const database = await openDatabase(workerData);
connect(database.Module);
parentPort.postMessage({ ready: true });
while (feed.wait()) {
  database.Module._interactive_one(ring.unread(), ring.peek(0));
  flush();
}
await close(database);
parentPort.postMessage({ closed: true });
