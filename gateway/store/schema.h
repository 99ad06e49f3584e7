/* The tables, and how an older database becomes the present one. */
#ifndef WARMCELL_GATEWAY_STORE_SCHEMA_H
#define WARMCELL_GATEWAY_STORE_SCHEMA_H

#include "gateway/store/database.h"

/* Runs the steps that PRAGMA user_version says are missing, each in a transaction of its own. 503:
 * a step failed, or the database is of a newer version. */
bool schema_migrate(struct database *db, struct err *e);

#endif
