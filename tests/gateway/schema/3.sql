CREATE TABLE tokens ( id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,
    principal TEXT NOT NULL, role TEXT NOT NULL, scopes TEXT NOT NULL, created TEXT NOT NULL,
    expires INTEGER NOT NULL, revoked TEXT, minted_by TEXT);
ALTER TABLE artifacts ADD COLUMN principal TEXT NOT NULL DEFAULT 'owner';
