CREATE TABLE templates ( id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, shared
    INTEGER NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL, spec TEXT NOT NULL, files TEXT
    NOT NULL, once TEXT, UNIQUE (owner, name));
