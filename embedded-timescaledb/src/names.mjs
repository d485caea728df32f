// The names that this server has only one of; knows nothing else.

/** The one database. */
export const DATABASE = 'tidegauge';

/** The role that owns everything and that the server's own statements run as. */
export const SUPERUSER = 'postgres';
