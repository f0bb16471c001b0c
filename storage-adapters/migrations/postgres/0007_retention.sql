-- What is kept on purpose, and what goes by rule.

-- Rules of a repository, and of an account for all of its repositories that have none of their own, as JSON: which tags do not
-- move, and what is kept. NULL: none.
ALTER TABLE repositories ADD COLUMN policy TEXT COLLATE "C";
ALTER TABLE accounts ADD COLUMN policy TEXT COLLATE "C";
CREATE INDEX repositories_ruled ON repositories (id) WHERE policy IS NOT NULL;
CREATE INDEX accounts_ruled ON accounts (id) WHERE policy IS NOT NULL;

-- A manifest that somebody holds does not go, whoever wants it to: a hold is a foreign key.
CREATE TABLE holds (
  repository_id BIGINT NOT NULL,
  manifest_id BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('pin', 'legal')),
  placed_by TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  placed_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, manifest_id, kind),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
);

-- When manifests were last pulled, as far as that was written down: by a job, each minute.
CREATE TABLE last_pulls (
  manifest_id BIGINT PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE,
  at BIGINT NOT NULL
);
