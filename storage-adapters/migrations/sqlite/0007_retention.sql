-- What is kept on purpose, and what goes by rule.

-- Rules of a repository, and of an account for all of its repositories that have none of their own, as JSON: which tags do not
-- move, and what is kept. NULL: none.
ALTER TABLE repositories ADD COLUMN policy TEXT;
ALTER TABLE accounts ADD COLUMN policy TEXT;
CREATE INDEX repositories_ruled ON repositories (id) WHERE policy IS NOT NULL;
CREATE INDEX accounts_ruled ON accounts (id) WHERE policy IS NOT NULL;

-- A manifest that somebody holds does not go, whoever wants it to: a hold is a foreign key.
CREATE TABLE holds (
  repository_id INTEGER NOT NULL,
  manifest_id INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('pin', 'legal')),
  placed_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  placed_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, manifest_id, kind),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

-- When manifests were last pulled, as far as that was written down: by a job, each minute.
CREATE TABLE last_pulls (
  manifest_id INTEGER PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE,
  at INTEGER NOT NULL
) STRICT;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('holds', 'holds', '10000 10 1 1'),
  ('repositories', 'repositories_ruled', '1000 1'),
  ('accounts', 'accounts_ruled', '100 1');
ANALYZE sqlite_schema;
