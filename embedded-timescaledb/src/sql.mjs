// Estimates from its words what SQL may do to the session. False positives are harmless. Does not
// run it.

const WORDS = 'set|reset|discard|deallocate|set_config|do|call|copy|listen|role|user|database|group|cursor|temp|temporary';
const MAYBE_SPECIAL = new RegExp(`\\b(${WORDS})\\b|advisory_lock`, 'i');
// Matches strings, quoted names, comments and dollar-quoted bodies, whose words do not count.
const OPAQUE = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$/g;
const NOTHING = Object.freeze({});
const OTHER_ENCODING =
  /\bset\s+(?:session\s+|local\s+)?(?:names|client_encoding\s*(?:=|\bto\b))\s*'?(?!'|utf-?8|unicode|sql_ascii|default)\w/i;

/** Replaces SQL that would make this build load a character conversion, which crashes it. */
export const REFUSED_ENCODING = `DO $$BEGIN
  RAISE 'this server supports UTF8 only: client_encoding cannot be changed'
  USING ERRCODE = 'feature_not_supported'; END$$`;

const CUSTOM_SETTING = /(?:\bset\s+(?:session\s+)?|\bset_config\s*\(\s*')([a-z_]\w*(?:\.\w+)+)/gi;

/**
 * Returns names such as `app.tenant` that the SQL may set. PostgreSQL does not list these, unlike
 * all others.
 */
function customSettings(sql) {
  return [...sql.matchAll(CUSTOM_SETTING)].map(([, name]) => name.toLowerCase());
}

/**
 * Returns the traits of the SQL:
 *
 * - `settings`: it may change session settings
 * - `locks`: it may take a session-level advisory lock
 * - `copyIn`: it contains COPY FROM STDIN
 * - `dropsStatements`: it drops the prepared statements of all clients
 * - `roles`: it may change who can log in
 * - `holds`: it declares a cursor WITH HOLD
 * - `listens`: it contains LISTEN
 * - `customSettings`: names of custom settings that it may set
 * - `temporary`: it creates temporary tables
 * - `otherEncoding`: it sets an encoding other than UTF8
 */
export function inspect(sql) {
  if (!MAYBE_SPECIAL.test(sql)) return NOTHING;
  const statements = sql
    .replace(OPAQUE, (part) => (/^(--|\/\*)/.test(part) ? ' ' : " '' "))
    .split(';')
    .map((statement) => statement.trim().toLowerCase());
  const some = (pattern) => statements.some((statement) => pattern.test(statement));
  return {
    settings: some(/^(set|reset|discard|do|call)\b|\bset_config\b/),
    locks: /pg_(try_)?advisory_lock/i.test(sql),
    copyIn: some(/^copy\b[\s\S]*\bfrom\s+stdin\b/),
    dropsStatements: some(/^(discard\s+all|deallocate\s+(prepare\s+)?all)\b/),
    roles: some(/^(create|alter|drop)\s+(role|user|group|database)\b|^(do|call)\b/),
    holds: some(/\bcursor\s+with\s+hold\b/),
    listens: some(/^listen\b/),
    customSettings: customSettings(sql),
    temporary: some(/\b(create\s+(global\s+|local\s+)?|into\s+)temp(orary)?\b/),
    otherEncoding: OTHER_ENCODING.test(sql),
  };
}
