// The folder of a persistent database: which process uses it, and whether its initialisation has
// finished. Does not open the database.

import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const LOCK = 'server.pid';
const UNFINISHED = 'unfinished';
const DATABASE = 'database';

/** An error that makes the folder unusable; the message says why and what to do. */
export class FolderError extends Error {}

/**
 * Returns `pid start`. The start time distinguishes processes that reuse a pid; it is empty without
 * /proc.
 */
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
  /** Locks the folder for this process, and creates it if necessary. */
  constructor(path) {
    this.path = resolve(path);
    this.database = join(this.path, DATABASE);
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      this.refuseForeign();
      this.lock();
    } catch (error) {
      if (error instanceof FolderError) throw error;
      throw new FolderError(`cannot use the data folder ${this.path}: ${error.message}`);
    }
    if (existsSync(join(this.path, UNFINISHED))) rmSync(this.database, { recursive: true, force: true });
  }

  refuseForeign() {
    const isOwn = (name) => [LOCK, UNFINISHED, DATABASE].some((own) => name.startsWith(own));
    const foreign = readdirSync(this.path).filter((name) => !isOwn(name));
    if (foreign.length > 0) {
      throw new FolderError(
        `${this.path} contains other files (${foreign[0]}): choose an empty or new --data folder`,
      );
    }
  }

  lock() {
    const lock = join(this.path, LOCK);
    const own = `${lock}.${process.pid}`;
    writeFileSync(own, processMark(process.pid));
    try {
      if (existsSync(lock) && !isAlive(readFileSync(lock, 'utf8'))) unlinkSync(lock);
      linkSync(own, lock); // fails if the lock exists; readers never see a partial file
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const pid = Number.parseInt(readFileSync(lock, 'utf8'), 10);
      throw new FolderError(`${this.path} is used by another server (process ${pid})`);
    } finally {
      unlinkSync(own);
    }
  }

  /**
   * Is true until the first start has finished. A start that was interrupted begins again from
   * scratch.
   */
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
