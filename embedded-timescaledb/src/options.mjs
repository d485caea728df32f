// Parses the command line into validated options. Does not start anything.

export const USAGE = `Usage: node server.mjs [options]

TimescaleDB as WebAssembly behind a PostgreSQL server on 127.0.0.1.
It is for trials and tests on one machine.

  --port PORT             port to listen on, 0 to 65535; 0 takes a free one (default 5432)
  --data DIR              keep the database in this folder
  --memory                keep the database in memory; it is lost when the process ends (default)
  --job-interval SECONDS  how often to look for due TimescaleDB jobs, 0.1 to 86400 (default 5)
  --exit-with-stdin       exit when standard input closes, so that nothing outlives a killed parent
  --help                  print this text

When ready, the server prints one line: listening on postgres://postgres@127.0.0.1:PORT/tidegauge
`;

/** An invalid command line; the message says what is accepted. */
export class BadOption extends Error {}

function number(name, text, least, most, whole) {
  const value = Number(text);
  const inRange = text !== '' && text !== undefined && value >= least && value <= most;
  const valid = inRange && (!whole || Number.isInteger(value));
  if (!valid) {
    const kind = whole ? 'a whole number' : 'a number';
    const found = text === undefined ? 'nothing' : `"${text}"`;
    throw new BadOption(`${name} takes ${kind} from ${least} to ${most}, not ${found}`);
  }
  return value;
}

/**
 * Returns `{ port, folder, jobInterval (seconds), exitWithStdin, help }`. `folder` is null for a
 * database in memory.
 */
export function parseOptions(words) {
  const options = { port: 5432, folder: null, jobInterval: 5, exitWithStdin: false, help: false };
  let memory = false;
  for (let rest = words.flatMap(splitValue); rest.length > 0; ) {
    const name = rest.shift();
    if (name === '--port') options.port = number(name, rest.shift(), 0, 65535, true);
    else if (name === '--job-interval') options.jobInterval = number(name, rest.shift(), 0.1, 86_400, false);
    else if (name === '--data') options.folder = folder(rest.shift());
    else if (name === '--memory') memory = true;
    else if (name === '--exit-with-stdin') options.exitWithStdin = true;
    else if (name === '--help' || name === '-h') options.help = true;
    else throw new BadOption(`unknown option "${name}"`);
  }
  if (memory && options.folder) throw new BadOption('--memory and --data exclude each other');
  return options;
}

function splitValue(word) {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word];
}

function folder(text) {
  if (!text || text.startsWith('--')) throw new BadOption('--data takes the path of a folder');
  return text;
}
