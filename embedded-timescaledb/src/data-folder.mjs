// The folder of a kept database: who uses it, and whether it was ever finished; does not open the database.

import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const LOCK = 'server.pid';
const UNFINISHED = 'unfinished';
const DATABASE = 'database';

/** The folder cannot be used; the message says why and what to do. */
export class FolderError extends Error {}

/** `pid start`: the start time tells a process from a later one with the same number; empty where there is no /proc. */
function processMark(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return `${pid} ${text.slice(text.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return `${pid} `;
  }
}

function isAlive(mark) {
  const pid = Number.parseInt(mark, 10);
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  return processMark(pid) === mark.trimEnd() || mark.trim() === String(pid);
}

export class DataFolder {
  /** Takes the folder for this process, creating it if need be. */
  constructor(path) {
    this.path = resolve(path);
    this.database = join(this.path, DATABASE);
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      this.refuseForeign();
      this.lock();
    } catch (error) {
      throw error instanceof FolderError ? error : new FolderError(`cannot use the data folder ${this.path}: ${error.message}`);
    }
    if (existsSync(join(this.path, UNFINISHED))) rmSync(this.database, { recursive: true, force: true });
  }

  refuseForeign() {
    const isOwn = (name) => [LOCK, UNFINISHED, DATABASE].some((own) => name.startsWith(own));
    const foreign = readdirSync(this.path).filter((name) => !isOwn(name));
    if (foreign.length > 0) {
      throw new FolderError(`${this.path} holds something else (${foreign[0]}): choose an empty or a new folder with --data`);
    }
  }

  lock() {
    const lock = join(this.path, LOCK);
    const own = `${lock}.${process.pid}`;
    writeFileSync(own, processMark(process.pid));
    try {
      if (existsSync(lock) && !isAlive(readFileSync(lock, 'utf8'))) unlinkSync(lock);
      linkSync(own, lock); // fails if it exists, and is never seen half-written
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      throw new FolderError(`${this.path} is used by another server (process ${Number.parseInt(readFileSync(lock, 'utf8'), 10)})`);
    } finally {
      unlinkSync(own);
    }
  }

  /** True until the first start has gone through; a start that was cut off begins again from nothing. */
  get isNew() {
    return !existsSync(this.database);
  }

  markUnfinished() {
    writeFileSync(join(this.path, UNFINISHED), '');
    mkdirSync(this.database, { mode: 0o700 });
  }

  markFinished() {
    rmSync(join(this.path, UNFINISHED), { force: true });
  }

  unlock() {
    rmSync(join(this.path, LOCK), { force: true });
  }
}
