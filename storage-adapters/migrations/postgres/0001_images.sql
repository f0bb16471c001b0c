-- Accounts, images, uploads and what waits for the collector.
-- The folder for SQLite holds the same tables with its own words for types and order; a test compares the two.
-- Types are BIGINT, TEXT and BYTEA only; text is COLLATE "C", so that pages come in byte order in any database; times are milliseconds since the epoch, booleans are 0 and 1.
-- Every foreign key that guards I1 is RESTRICT; CASCADE leads only from a row to what it alone owns.

-- Ids come in blocks of a thousand and say nothing about order. Id 0 is the system's account.
CREATE TABLE id_blocks (name TEXT COLLATE "C" NOT NULL PRIMARY KEY, next BIGINT NOT NULL);
INSERT INTO id_blocks (name, next) VALUES ('rows', 1);

-- Who owns repositories: users and organizations share one unique name. The system's name is no valid path component,
-- so nobody can ever take it; it owns the repositories of one component.
CREATE TABLE accounts (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" UNIQUE,
  former_name TEXT COLLATE "C",
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'organization', 'system')),
  created_at BIGINT NOT NULL,
  deleted_at BIGINT,
  CHECK ((name IS NULL) = (deleted_at IS NOT NULL))
);
INSERT INTO accounts (id, name, kind, created_at) VALUES (0, '_system', 'system', 0);

-- Who acts. A grant binds to an id, never to a name: a name that is taken again inherits nothing.
-- One added to the epoch revokes every token of the principal at once.
CREATE TABLE principals (
  id BIGINT PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'robot', 'team')),
  credential_epoch BIGINT NOT NULL DEFAULT 0,
  disabled_at BIGINT
);

CREATE TABLE users (
  principal_id BIGINT PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  account_id BIGINT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE RESTRICT,
  password TEXT COLLATE "C",
  system_role TEXT COLLATE "C" NOT NULL DEFAULT '' CHECK (system_role IN ('', 'administrator'))
);
CREATE INDEX users_administrators ON users (principal_id) WHERE system_role = 'administrator';

-- No counter and no last-push time here: every push share-locks this row. A name of NULL is a tombstone.
CREATE TABLE repositories (
  id BIGINT PRIMARY KEY,
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  name TEXT COLLATE "C" UNIQUE,
  former_name TEXT COLLATE "C",
  public BIGINT NOT NULL DEFAULT 0 CHECK (public IN (0, 1)),
  created_at BIGINT NOT NULL,
  deleted_at BIGINT,
  UNIQUE (id, account_id),
  CHECK ((name IS NULL) = (deleted_at IS NOT NULL))
);
CREATE INDEX repositories_public ON repositories (name) WHERE public = 1;
CREATE INDEX repositories_deleted ON repositories (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX repositories_of_account ON repositories (account_id, name);

CREATE TABLE credentials (
  id BIGINT PRIMARY KEY,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  kind TEXT COLLATE "C" NOT NULL,
  selector TEXT COLLATE "C" NOT NULL UNIQUE,
  secret_hash BYTEA NOT NULL,
  service TEXT COLLATE "C" NOT NULL,
  scopes TEXT COLLATE "C" NOT NULL,
  epoch BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);
CREATE INDEX credentials_of ON credentials (principal_id, expires_at);

-- Images: edge, link, account_blob, blob, storage key: each arrow RESTRICT.
CREATE TABLE blobs (
  id BIGINT PRIMARY KEY,
  digest TEXT COLLATE "C" NOT NULL UNIQUE,
  size BIGINT NOT NULL,
  storage_key TEXT COLLATE "C" NOT NULL UNIQUE,
  quarantined_at BIGINT,
  scrubbed_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX blobs_to_scrub ON blobs (scrubbed_at);

-- Presence, not a counter: what an account holds is exact and never a hot row.
CREATE TABLE account_blobs (
  account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  blob_id BIGINT NOT NULL REFERENCES blobs (id) ON DELETE RESTRICT,
  PRIMARY KEY (account_id, blob_id)
);
CREATE INDEX account_blobs_of ON account_blobs (blob_id, account_id);

CREATE TABLE repository_blobs (
  repository_id BIGINT NOT NULL,
  blob_id BIGINT NOT NULL,
  account_id BIGINT NOT NULL,
  touched_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, blob_id),
  FOREIGN KEY (repository_id, account_id) REFERENCES repositories (id, account_id) ON DELETE RESTRICT,
  FOREIGN KEY (account_id, blob_id) REFERENCES account_blobs (account_id, blob_id) ON DELETE RESTRICT
);
CREATE INDEX repository_blobs_of ON repository_blobs (account_id, blob_id, repository_id);

-- A manifest's bytes are a column: one indexed read serves it. The subject is weak by the specification: no foreign key.
CREATE TABLE manifests (
  id BIGINT PRIMARY KEY,
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  digest TEXT COLLATE "C" NOT NULL,
  media_type TEXT COLLATE "C" NOT NULL,
  artifact_type TEXT COLLATE "C",
  subject_digest TEXT COLLATE "C",
  referrer TEXT COLLATE "C",
  size BIGINT NOT NULL,
  touched_at BIGINT NOT NULL,
  pushed_by BIGINT NOT NULL,
  body BYTEA NOT NULL,
  UNIQUE (repository_id, digest),
  UNIQUE (repository_id, id)
);
CREATE INDEX referrers ON manifests (repository_id, subject_digest, id) WHERE subject_digest IS NOT NULL;

CREATE TABLE manifest_blobs (
  repository_id BIGINT NOT NULL,
  manifest_id BIGINT NOT NULL,
  blob_id BIGINT NOT NULL,
  PRIMARY KEY (repository_id, manifest_id, blob_id),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE CASCADE,
  FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blobs (repository_id, blob_id) ON DELETE RESTRICT
);
CREATE INDEX manifest_blobs_of ON manifest_blobs (repository_id, blob_id);

CREATE TABLE manifest_children (
  repository_id BIGINT NOT NULL,
  parent_id BIGINT NOT NULL,
  child_id BIGINT NOT NULL,
  PRIMARY KEY (repository_id, parent_id, child_id),
  FOREIGN KEY (repository_id, parent_id) REFERENCES manifests (repository_id, id) ON DELETE CASCADE,
  FOREIGN KEY (repository_id, child_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
);
CREATE INDEX manifest_children_of ON manifest_children (repository_id, child_id);

CREATE TABLE tags (
  repository_id BIGINT NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  manifest_id BIGINT NOT NULL,
  version BIGINT NOT NULL,
  moved_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, name),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
);
CREATE INDEX tags_of ON tags (repository_id, manifest_id);

-- A digest of NULL says that the tag was deleted. Versions have no gaps, and times rise with them.
CREATE TABLE tag_history (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  digest TEXT COLLATE "C",
  at BIGINT NOT NULL,
  actor_id BIGINT NOT NULL,
  PRIMARY KEY (repository_id, name, version)
);
CREATE INDEX tag_history_at ON tag_history (repository_id, name, at);

CREATE TABLE uploads (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  principal_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE RESTRICT,
  storage_key TEXT COLLATE "C" NOT NULL UNIQUE,
  tail_key TEXT COLLATE "C" UNIQUE,
  multipart_id TEXT COLLATE "C",
  received BIGINT NOT NULL DEFAULT 0,
  hash_state BYTEA,
  fence BIGINT NOT NULL DEFAULT 0,
  leased_until BIGINT NOT NULL DEFAULT 0,
  expires_at BIGINT NOT NULL
);
CREATE INDEX uploads_expired ON uploads (expires_at);
CREATE INDEX uploads_in ON uploads (repository_id);
CREATE INDEX uploads_by ON uploads (principal_id);

CREATE TABLE upload_parts (
  upload_id TEXT COLLATE "C" NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  number BIGINT NOT NULL,
  fence BIGINT NOT NULL,
  size BIGINT NOT NULL,
  etag TEXT COLLATE "C",
  PRIMARY KEY (upload_id, number)
);

-- What the collector looks at next: manifest and link belong to a repository, account to an account, blob to nobody (0).
CREATE TABLE candidates (
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('manifest', 'link', 'account', 'blob')),
  owner_id BIGINT NOT NULL,
  item_id BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  leased_until BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, owner_id, item_id)
);
CREATE INDEX candidates_due ON candidates (due_at);

-- Keys that nothing names any more. A key is owned by exactly one row of uploads, blobs and this table (I3).
CREATE TABLE key_deletions (
  storage_key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  multipart_id TEXT COLLATE "C",
  due_at BIGINT NOT NULL,
  passes BIGINT NOT NULL,
  leased_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX key_deletions_due ON key_deletions (due_at);

-- The outbox: append-only, numbered later by one sequencer. A NULL seq is not numbered yet.
CREATE TABLE events (
  id BIGINT PRIMARY KEY,
  seq BIGINT UNIQUE,
  chain BYTEA,
  at BIGINT NOT NULL,
  actor_id BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  account_id BIGINT,
  repository_id BIGINT,
  subject TEXT COLLATE "C" NOT NULL,
  payload TEXT COLLATE "C" NOT NULL,
  request_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_unsequenced ON events (id) WHERE seq IS NULL;
CREATE INDEX events_of_repository ON events (repository_id, seq);

CREATE TABLE settings (name TEXT COLLATE "C" NOT NULL PRIMARY KEY, value TEXT COLLATE "C" NOT NULL);

-- Keys that sign bearer tokens: the private half is sealed under the master key before it comes here.
CREATE TABLE token_keys (
  kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  sealed BYTEA NOT NULL,
  public BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  retires_at BIGINT
);
