CREATE TABLE kernels ( id TEXT NOT NULL, name TEXT NOT NULL, started TEXT NOT NULL, ended TEXT,
    reason TEXT, PRIMARY KEY (id, started));
CREATE TABLE sessions ( id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT
    NULL, kernel_id TEXT NOT NULL);
CREATE TABLE artifacts ( position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    sha256 TEXT, mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL, kernel_id TEXT NOT NULL,
    execution_id TEXT NOT NULL, created TEXT NOT NULL, number INTEGER NOT NULL, problem TEXT,
    sequence INTEGER NOT NULL, UNIQUE (kernel_id, sequence, mime_type));
CREATE INDEX artifacts_of_kernel ON artifacts (kernel_id, position);
CREATE INDEX artifacts_of_execution ON artifacts (execution_id, position);
CREATE INDEX artifacts_of_bytes ON artifacts (sha256);
