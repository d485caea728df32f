// The names of the only database and of its superuser.

/** The only database of this server. */
export const DATABASE = 'tidegauge';

/** The role that owns everything. The server runs its own statements as this role. */
export const SUPERUSER = 'postgres';
