-- Organizations, teams, robots and what they may do; personal access tokens; workloads; the audit log.

-- Another system role, and where a user comes from who is known to a directory or a provider: its name and its own,
-- unchanging id of them.
ALTER TABLE users DROP CONSTRAINT users_system_role_check;
ALTER TABLE users ADD CHECK (system_role IN ('', 'administrator', 'auditor'));
ALTER TABLE users ADD COLUMN source TEXT COLLATE "C";
ALTER TABLE users ADD COLUMN source_subject TEXT COLLATE "C";
ALTER TABLE users ADD UNIQUE (source, source_subject);
ALTER TABLE users ADD CHECK ((source IS NULL) = (source_subject IS NULL));

ALTER TABLE accounts ADD COLUMN create_on_push BIGINT NOT NULL DEFAULT 0 CHECK (create_on_push IN (0, 1));
ALTER TABLE repositories ADD COLUMN description TEXT COLLATE "C" NOT NULL DEFAULT '';

-- The sequencer takes them in this order, however many wait.
DROP INDEX events_unsequenced;
CREATE INDEX events_unsequenced ON events (at, id) WHERE seq IS NULL;

CREATE TABLE members (
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  user_id BIGINT NOT NULL REFERENCES users (principal_id) ON DELETE CASCADE,
  owner BIGINT NOT NULL DEFAULT 0 CHECK (owner IN (0, 1)),
  PRIMARY KEY (account_id, user_id)
);
CREATE INDEX members_of_user ON members (user_id, account_id);
CREATE INDEX members_owners ON members (account_id, user_id) WHERE owner = 1;

CREATE TABLE teams (
  principal_id BIGINT PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  name TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL DEFAULT '',
  UNIQUE (account_id, name),
  UNIQUE (principal_id, account_id)
);

-- A membership comes from somebody's hand ('') or from a directory of this name, and each takes back only its own.
-- Who leaves the organization leaves its teams.
CREATE TABLE team_members (
  team_id BIGINT NOT NULL,
  account_id BIGINT NOT NULL,
  user_id BIGINT NOT NULL,
  source TEXT COLLATE "C" NOT NULL DEFAULT '',
  PRIMARY KEY (team_id, user_id, source),
  FOREIGN KEY (team_id, account_id) REFERENCES teams (principal_id, account_id) ON DELETE CASCADE,
  FOREIGN KEY (account_id, user_id) REFERENCES members (account_id, user_id) ON DELETE CASCADE
);
CREATE INDEX team_members_of_user ON team_members (user_id, account_id, team_id);
CREATE INDEX team_members_of_member ON team_members (account_id, user_id);

-- A robot of an account; with a repository it can hold rights there only.
CREATE TABLE robots (
  principal_id BIGINT PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  repository_id BIGINT REFERENCES repositories (id) ON DELETE RESTRICT,
  name TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  UNIQUE (account_id, name)
);
CREATE INDEX robots_of_repository ON robots (repository_id) WHERE repository_id IS NOT NULL;

-- Rights are a set of bits. A grant binds ids; where the repository or the holder goes, it goes.
CREATE TABLE repository_grants (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  rights BIGINT NOT NULL,
  granted_by BIGINT NOT NULL,
  granted_at BIGINT NOT NULL,
  PRIMARY KEY (principal_id, repository_id)
);
CREATE INDEX repository_grants_on ON repository_grants (repository_id, principal_id);

-- On every repository of the account whose name begins with this text, also those to come.
CREATE TABLE prefix_grants (
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  prefix TEXT COLLATE "C" NOT NULL,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  rights BIGINT NOT NULL,
  granted_by BIGINT NOT NULL,
  granted_at BIGINT NOT NULL,
  PRIMARY KEY (principal_id, account_id, prefix)
);
CREATE INDEX prefix_grants_on ON prefix_grants (account_id, prefix, principal_id);

-- A name for people, and when it was last shown, which a job writes down now and then.
ALTER TABLE credentials ADD COLUMN name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN last_used_at BIGINT;

-- Which workload of a trusted issuer is which robot: the claims that its token must have, as JSON.
CREATE TABLE workload_rules (
  id BIGINT PRIMARY KEY,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  issuer TEXT COLLATE "C" NOT NULL,
  audience TEXT COLLATE "C" NOT NULL CHECK (length(audience) > 0),
  claims TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX workload_rules_of ON workload_rules (principal_id);

-- Tokens of other issuers, and by whom each was shown first: nobody else may show it.
CREATE TABLE shown_tokens (
  issuer TEXT COLLATE "C" NOT NULL,
  jti TEXT COLLATE "C" NOT NULL,
  shown_by TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (issuer, jti)
);
CREATE INDEX shown_tokens_expired ON shown_tokens (expires_at);

-- Which client certificate is which user or robot: a pattern for its subject or for one of its alternative names.
CREATE TABLE certificate_rules (
  id BIGINT PRIMARY KEY,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('subject', 'dns', 'uri', 'email')),
  pattern TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (kind, pattern)
);
CREATE INDEX certificate_rules_of ON certificate_rules (principal_id);
