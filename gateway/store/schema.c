/* Steps of the schema: step n brings a database of version n to n + 1. A step that was released is
 * never changed; a new one is added. */
#include "gateway/store/schema.h"

#include <stdio.h>

#include "protocol/memory.h"

static const char *const steps[] = {
    "CREATE TABLE kernels ("
    " id TEXT NOT NULL, name TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, reason TEXT,"
    " PRIMARY KEY (id, started));"
    "CREATE TABLE sessions ("
    " id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,"
    " kernel_id TEXT NOT NULL);"
    "CREATE TABLE artifacts ("
    " position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, sha256 TEXT,"
    " mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL, kernel_id TEXT NOT NULL,"
    " execution_id TEXT NOT NULL, created TEXT NOT NULL, number INTEGER NOT NULL,"
    " problem TEXT, sequence INTEGER NOT NULL, UNIQUE (kernel_id, sequence, mime_type));"
    "CREATE INDEX artifacts_of_kernel ON artifacts (kernel_id, position);"
    "CREATE INDEX artifacts_of_execution ON artifacts (execution_id, position);"
    "CREATE INDEX artifacts_of_bytes ON artifacts (sha256);",
    "CREATE TABLE executions ("
    " position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sandbox_id TEXT NOT NULL,"
    " kernel_id TEXT NOT NULL, context TEXT NOT NULL, status TEXT NOT NULL,"
    " created TEXT NOT NULL, started TEXT, ended TEXT, first_sequence INTEGER NOT NULL,"
    " last_sequence INTEGER, events INTEGER, asked TEXT NOT NULL, outcome TEXT,"
    " idempotency_key TEXT, body_sha256 TEXT);"
    "CREATE INDEX executions_of_sandbox ON executions (sandbox_id, position);"
    "CREATE UNIQUE INDEX executions_by_key ON executions (sandbox_id, idempotency_key)"
    " WHERE idempotency_key IS NOT NULL;"
    "CREATE INDEX executions_open ON executions (position) WHERE ended IS NULL;",
    "CREATE TABLE tokens ("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,"
    " principal TEXT NOT NULL, role TEXT NOT NULL, scopes TEXT NOT NULL, created TEXT NOT NULL,"
    " expires INTEGER NOT NULL, revoked TEXT, minted_by TEXT);"
    "ALTER TABLE artifacts ADD COLUMN principal TEXT NOT NULL DEFAULT 'owner';",
    "ALTER TABLE executions ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
    "UPDATE executions SET bytes = length(CAST(asked AS BLOB))"
    " + COALESCE(length(CAST(outcome AS BLOB)), 0);"
    "CREATE INDEX executions_ended ON executions (sandbox_id, position, bytes)"
    " WHERE ended IS NOT NULL;",
    "CREATE TABLE templates ("
    " id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, shared INTEGER NOT NULL,"
    " created TEXT NOT NULL, changed TEXT NOT NULL, spec TEXT NOT NULL, files TEXT NOT NULL,"
    " once TEXT, UNIQUE (owner, name));",
    "ALTER TABLE tokens ADD COLUMN once TEXT;",
    "CREATE TABLE artifacts_of_all ("
    " position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, sha256 TEXT,"
    " mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL, kernel_id TEXT NOT NULL,"
    " execution_id TEXT NOT NULL, created TEXT NOT NULL, number INTEGER NOT NULL,"
    " problem TEXT, sequence INTEGER NOT NULL, principal TEXT NOT NULL DEFAULT 'owner',"
    " kind TEXT NOT NULL DEFAULT 'display', sandbox_id TEXT NOT NULL DEFAULT '',"
    " command_id TEXT NOT NULL DEFAULT '', path BLOB, width INTEGER, height INTEGER);"
    "INSERT INTO artifacts_of_all (position, id, sha256, mime_type, size_bytes, kernel_id,"
    " execution_id, created, number, problem, sequence, principal)"
    " SELECT position, id, sha256, mime_type, size_bytes, kernel_id, execution_id, created,"
    " number, problem, sequence, principal FROM artifacts;"
    "DROP TABLE artifacts;"
    "ALTER TABLE artifacts_of_all RENAME TO artifacts;"
    "CREATE UNIQUE INDEX artifacts_of_output ON artifacts (kernel_id, sequence, mime_type)"
    " WHERE kind = 'display';"
    "CREATE INDEX artifacts_of_kernel ON artifacts (kernel_id, sandbox_id, number);"
    "CREATE INDEX artifacts_of_execution ON artifacts (execution_id, position);"
    "CREATE INDEX artifacts_of_sandbox ON artifacts (sandbox_id, position);"
    "CREATE INDEX artifacts_of_bytes ON artifacts (sha256);"
    "UPDATE artifacts SET sandbox_id = COALESCE((SELECT sandbox_id FROM executions"
    " WHERE executions.kernel_id = artifacts.kernel_id LIMIT 1), '');"
    "ALTER TABLE executions ADD COLUMN settled TEXT;"
    "UPDATE executions SET settled = '{}' WHERE ended IS NOT NULL;"
    "DROP INDEX executions_open;"
    "CREATE INDEX executions_unsettled ON executions (position) WHERE settled IS NULL;"
    "CREATE TABLE workspace_files ("
    " sandbox_id TEXT NOT NULL, path BLOB NOT NULL, kind TEXT NOT NULL, inode INTEGER NOT NULL,"
    " size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, PRIMARY KEY (sandbox_id, path)) WITHOUT ROWID;"
    "CREATE TABLE file_changes ("
    " position INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL, run_id TEXT NOT NULL,"
    " path BLOB NOT NULL, what TEXT NOT NULL, before_sha256 TEXT NOT NULL,"
    " before_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,"
    " artifact_id TEXT NOT NULL, problem TEXT, flags INTEGER NOT NULL);"
    "CREATE INDEX file_changes_of_run ON file_changes (run_id, position);"
    "CREATE INDEX file_changes_of_sandbox ON file_changes (sandbox_id);"
    "CREATE TABLE settled_commands ("
    " id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, settled TEXT NOT NULL);"
    "CREATE INDEX settled_commands_of_sandbox ON settled_commands (sandbox_id);"
    "CREATE TRIGGER executions_forgotten AFTER DELETE ON executions BEGIN"
    " DELETE FROM file_changes WHERE run_id = OLD.id; END;",
    "ALTER TABLE templates ADD COLUMN seed TEXT;",
    "ALTER TABLE tokens ADD COLUMN quotas TEXT;",
};

bool schema_migrate(struct database *db, struct err *e)
{
    struct err problem = {0};
    sqlite3_stmt *statement = database_statement(db, "PRAGMA user_version");
    int version = database_row(db, statement, &problem) ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_reset(statement);
    if (version < 0)
        return fail(e, 503, "%s", problem.text);
    if (version > (int)countof(steps))
        return fail(e, 503,
                    "the database is of version %d, this program knows version %zu; use a newer "
                    "warmcell or another --state-dir",
                    version, countof(steps));
    for (; version < (int)countof(steps); version++) {
        scoped(string) char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT",
                                             steps[version], version + 1);
        if (!database_exec(db, sql, e)) {
            database_exec(db, "ROLLBACK", NULL);
            return false;
        }
    }
    return true;
}
