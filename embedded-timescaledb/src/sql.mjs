// What a piece of SQL may do to the session, guessed from its words; does not run it and does not need to be exact.

const WORDS = 'set|reset|discard|deallocate|set_config|do|call|copy|listen|role|user|database|group|cursor|temp|temporary';
const MAYBE_SPECIAL = new RegExp(`\\b(${WORDS})\\b|advisory_lock`, 'i');
// Strings, quoted names, comments and dollar-quoted bodies, so that words inside them do not count.
const OPAQUE = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$/g;
const NOTHING = Object.freeze({});
const OTHER_ENCODING =
  /\bset\s+(?:session\s+|local\s+)?(?:names|client_encoding\s*(?:=|\bto\b))\s*'?(?!'|utf-?8|unicode|sql_ascii|default)\w/i;

/** Sent in place of SQL that would make this build load a character conversion, which it does not survive. */
export const REFUSED_ENCODING = `DO $$BEGIN RAISE 'this server speaks UTF8 only: it cannot change client_encoding'
  USING ERRCODE = 'feature_not_supported'; END$$`;

const CUSTOM_SETTING = /(?:\bset\s+(?:session\s+)?|\bset_config\s*\(\s*')([a-z_]\w*(?:\.\w+)+)/gi;

/** The names like `app.tenant` that the SQL may set: unlike all others, PostgreSQL does not list them. */
function customSettings(sql) {
  return [...sql.matchAll(CUSTOM_SETTING)].map(([, name]) => name.toLowerCase());
}

/** `settings` may change session settings; `locks` may take a session-level advisory lock; `copyIn` is COPY FROM STDIN;
 *  `dropsStatements` drops prepared statements of everyone; `roles` may change who may log in; `holds` WITH HOLD;
 *  `listens` LISTEN; `customSettings` names; `temporary` temporary tables; `otherEncoding` than UTF8. */
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
