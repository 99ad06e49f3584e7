CREATE TABLE artifacts_of_all ( position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL
    UNIQUE, sha256 TEXT, mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL, kernel_id TEXT NOT
    NULL, execution_id TEXT NOT NULL, created TEXT NOT NULL, number INTEGER NOT NULL, problem
    TEXT, sequence INTEGER NOT NULL, principal TEXT NOT NULL DEFAULT 'owner', kind TEXT NOT NULL
    DEFAULT 'display', sandbox_id TEXT NOT NULL DEFAULT '', command_id TEXT NOT NULL DEFAULT '',
    path BLOB, width INTEGER, height INTEGER);
INSERT INTO artifacts_of_all (position, id, sha256, mime_type, size_bytes, kernel_id,
    execution_id, created, number, problem, sequence, principal) SELECT position, id, sha256,
    mime_type, size_bytes, kernel_id, execution_id, created, number, problem, sequence, principal
    FROM artifacts;
DROP TABLE artifacts;
ALTER TABLE artifacts_of_all RENAME TO artifacts;
CREATE UNIQUE INDEX artifacts_of_output ON artifacts (kernel_id, sequence, mime_type) WHERE kind =
    'display';
CREATE INDEX artifacts_of_kernel ON artifacts (kernel_id, sandbox_id, number);
CREATE INDEX artifacts_of_execution ON artifacts (execution_id, position);
CREATE INDEX artifacts_of_sandbox ON artifacts (sandbox_id, position);
CREATE INDEX artifacts_of_bytes ON artifacts (sha256);
UPDATE artifacts SET sandbox_id = COALESCE((SELECT sandbox_id FROM executions WHERE
    executions.kernel_id = artifacts.kernel_id LIMIT 1), '');
ALTER TABLE executions ADD COLUMN settled TEXT;
UPDATE executions SET settled = '{}' WHERE ended IS NOT NULL;
DROP INDEX executions_open;
CREATE INDEX executions_unsettled ON executions (position) WHERE settled IS NULL;
CREATE TABLE workspace_files ( sandbox_id TEXT NOT NULL, path BLOB NOT NULL, kind TEXT NOT NULL,
    inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, changed_ns
    INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (sandbox_id, path)) WITHOUT ROWID;
CREATE TABLE file_changes ( position INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL,
    run_id TEXT NOT NULL, path BLOB NOT NULL, what TEXT NOT NULL, before_sha256 TEXT NOT NULL,
    before_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, artifact_id
    TEXT NOT NULL, problem TEXT, flags INTEGER NOT NULL);
CREATE INDEX file_changes_of_run ON file_changes (run_id, position);
CREATE INDEX file_changes_of_sandbox ON file_changes (sandbox_id);
CREATE TABLE settled_commands ( id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, settled TEXT NOT
    NULL);
CREATE INDEX settled_commands_of_sandbox ON settled_commands (sandbox_id);
CREATE TRIGGER executions_forgotten AFTER DELETE ON executions BEGIN DELETE FROM file_changes
    WHERE run_id = OLD.id; END;
