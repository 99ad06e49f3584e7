CREATE TABLE executions ( position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sandbox_id TEXT
    NOT NULL, kernel_id TEXT NOT NULL, context TEXT NOT NULL, status TEXT NOT NULL, created TEXT
    NOT NULL, started TEXT, ended TEXT, first_sequence INTEGER NOT NULL, last_sequence INTEGER,
    events INTEGER, asked TEXT NOT NULL, outcome TEXT, idempotency_key TEXT, body_sha256 TEXT);
CREATE INDEX executions_of_sandbox ON executions (sandbox_id, position);
CREATE UNIQUE INDEX executions_by_key ON executions (sandbox_id, idempotency_key) WHERE
    idempotency_key IS NOT NULL;
CREATE INDEX executions_open ON executions (position) WHERE ended IS NULL;
