-- Organizations, teams, robots and what they may do; personal access tokens; workloads; the audit log.

-- Another system role, and where a user comes from who is known to a directory or a provider: its name and its own,
-- unchanging id of them. Nothing refers to this table, so it can be made anew.
CREATE TABLE users_anew (
  principal_id INTEGER PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  name TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE RESTRICT,
  password TEXT,
  system_role TEXT NOT NULL DEFAULT '' CHECK (system_role IN ('', 'administrator', 'auditor')),
  source TEXT,
  source_subject TEXT,
  UNIQUE (source, source_subject),
  CHECK ((source IS NULL) = (source_subject IS NULL))
) STRICT;
INSERT INTO users_anew (principal_id, name, account_id, password, system_role)
  SELECT principal_id, name, account_id, password, system_role FROM users;
DROP TABLE users;
ALTER TABLE users_anew RENAME TO users;
CREATE INDEX users_administrators ON users (principal_id) WHERE system_role = 'administrator';

ALTER TABLE accounts ADD COLUMN create_on_push INTEGER NOT NULL DEFAULT 0 CHECK (create_on_push IN (0, 1));
ALTER TABLE repositories ADD COLUMN description TEXT NOT NULL DEFAULT '';

-- From here on an event has its place in the order of events when it is recorded; those there are get theirs now.
UPDATE events SET seq = numbered.seq FROM
  (SELECT id, (SELECT COALESCE(MAX(seq), 0) FROM events) + ROW_NUMBER() OVER (ORDER BY at, id) AS seq
     FROM events WHERE seq IS NULL) AS numbered
 WHERE events.id = numbered.id;

-- The sequencer takes them in this order, however many wait.
DROP INDEX events_unsequenced;
CREATE INDEX events_unsequenced ON events (at, id) WHERE seq IS NULL;

CREATE TABLE members (
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users (principal_id) ON DELETE CASCADE,
  owner INTEGER NOT NULL DEFAULT 0 CHECK (owner IN (0, 1)),
  PRIMARY KEY (account_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_user ON members (user_id, account_id);
CREATE INDEX members_owners ON members (account_id, user_id) WHERE owner = 1;

CREATE TABLE teams (
  principal_id INTEGER PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  UNIQUE (account_id, name),
  UNIQUE (principal_id, account_id)
) STRICT;

-- A membership comes from somebody's hand ('') or from a directory of this name, and each takes back only its own.
-- Who leaves the organization leaves its teams.
CREATE TABLE team_members (
  team_id INTEGER NOT NULL,
  account_id INTEGER NOT NULL,
  user_id INTEGER NOT NULL,
  source TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (team_id, user_id, source),
  FOREIGN KEY (team_id, account_id) REFERENCES teams (principal_id, account_id) ON DELETE CASCADE,
  FOREIGN KEY (account_id, user_id) REFERENCES members (account_id, user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX team_members_of_user ON team_members (user_id, account_id, team_id);
CREATE INDEX team_members_of_member ON team_members (account_id, user_id);

-- A robot of an account; with a repository it can hold rights there only.
CREATE TABLE robots (
  principal_id INTEGER PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  repository_id INTEGER REFERENCES repositories (id) ON DELETE RESTRICT,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  UNIQUE (account_id, name)
) STRICT;
CREATE INDEX robots_of_repository ON robots (repository_id) WHERE repository_id IS NOT NULL;

-- Rights are a set of bits. A grant binds ids; where the repository or the holder goes, it goes.
CREATE TABLE repository_grants (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  rights INTEGER NOT NULL,
  granted_by INTEGER NOT NULL,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (principal_id, repository_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_grants_on ON repository_grants (repository_id, principal_id);

-- On every repository of the account whose name begins with this text, also those to come.
CREATE TABLE prefix_grants (
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  prefix TEXT NOT NULL,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  rights INTEGER NOT NULL,
  granted_by INTEGER NOT NULL,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (principal_id, account_id, prefix)
) STRICT, WITHOUT ROWID;
CREATE INDEX prefix_grants_on ON prefix_grants (account_id, prefix, principal_id);

-- A name for people, and when it was last shown, which a job writes down now and then.
ALTER TABLE credentials ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN last_used_at INTEGER;

-- Which workload of a trusted issuer is which robot: the claims that its token must have, as JSON.
CREATE TABLE workload_rules (
  id INTEGER PRIMARY KEY,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  issuer TEXT NOT NULL,
  audience TEXT NOT NULL CHECK (length(audience) > 0),
  claims TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX workload_rules_of ON workload_rules (principal_id);

-- Tokens of other issuers, and by whom each was shown first: nobody else may show it.
CREATE TABLE shown_tokens (
  issuer TEXT NOT NULL,
  jti TEXT NOT NULL,
  shown_by TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX shown_tokens_expired ON shown_tokens (expires_at);

-- Which client certificate is which user or robot: a pattern for its subject or for one of its alternative names.
CREATE TABLE certificate_rules (
  id INTEGER PRIMARY KEY,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('subject', 'dns', 'uri', 'email')),
  pattern TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (kind, pattern)
) STRICT;
CREATE INDEX certificate_rules_of ON certificate_rules (principal_id);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('events', 'events_unsequenced', '1000 1 1'),
  ('users', 'sqlite_autoindex_users_1', '100000 1'),
  ('users', 'sqlite_autoindex_users_2', '100000 1'),
  ('users', 'sqlite_autoindex_users_3', '100000 1 1'),
  ('users', 'users_administrators', '10 1'),
  ('members', 'members', '100000 100 1'),
  ('members', 'members_of_user', '100000 5 1'),
  ('members', 'members_owners', '20000 2 1'),
  ('teams', 'sqlite_autoindex_teams_1', '10000 100 1'),
  ('teams', 'sqlite_autoindex_teams_2', '10000 1 1'),
  ('team_members', 'team_members', '1000000 100 1 1'),
  ('team_members', 'team_members_of_user', '1000000 10 5 1'),
  ('team_members', 'team_members_of_member', '1000000 10000 5'),
  ('robots', 'sqlite_autoindex_robots_1', '10000 10 1'),
  ('robots', 'robots_of_repository', '10000 2'),
  ('repository_grants', 'repository_grants', '1000000 10 1'),
  ('repository_grants', 'repository_grants_on', '1000000 10 1'),
  ('prefix_grants', 'prefix_grants', '100000 5 2 1'),
  ('prefix_grants', 'prefix_grants_on', '100000 100 10 1'),
  ('workload_rules', 'workload_rules_of', '10000 2'),
  ('shown_tokens', 'shown_tokens', '100000 10000 1'),
  ('shown_tokens', 'shown_tokens_expired', '100000 10'),
  ('certificate_rules', 'sqlite_autoindex_certificate_rules_1', '1000 250 1'),
  ('certificate_rules', 'certificate_rules_of', '1000 2');
ANALYZE sqlite_schema;
