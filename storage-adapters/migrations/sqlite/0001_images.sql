-- Accounts, images, uploads and what waits for the collector.
-- The folder for PostgreSQL holds the same tables with its own words for types and order; a test compares the two.
-- Types are INTEGER, TEXT and BLOB only; times are milliseconds since the epoch, booleans are 0 and 1.
-- Every foreign key that guards I1 is RESTRICT; CASCADE leads only from a row to what it alone owns.

-- Ids come in blocks of a thousand and say nothing about order. Id 0 is the system's account.
CREATE TABLE id_blocks (name TEXT NOT NULL PRIMARY KEY, next INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO id_blocks (name, next) VALUES ('rows', 1);

-- Who owns repositories: users and organizations share one unique name. The system's name is no valid path component,
-- so nobody can ever take it; it owns the repositories of one component.
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY,
  name TEXT UNIQUE,
  former_name TEXT,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'organization', 'system')),
  created_at INTEGER NOT NULL,
  deleted_at INTEGER,
  CHECK ((name IS NULL) = (deleted_at IS NOT NULL))
) STRICT;
INSERT INTO accounts (id, name, kind, created_at) VALUES (0, '_system', 'system', 0);

-- Who acts. A grant binds to an id, never to a name: a name that is taken again inherits nothing.
-- One added to the epoch revokes every token of the principal at once.
CREATE TABLE principals (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'robot', 'team')),
  credential_epoch INTEGER NOT NULL DEFAULT 0,
  disabled_at INTEGER
) STRICT;

CREATE TABLE users (
  principal_id INTEGER PRIMARY KEY REFERENCES principals (id) ON DELETE RESTRICT,
  name TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE RESTRICT,
  password TEXT,
  system_role TEXT NOT NULL DEFAULT '' CHECK (system_role IN ('', 'administrator'))
) STRICT;
CREATE INDEX users_administrators ON users (principal_id) WHERE system_role = 'administrator';

-- No counter and no last-push time here: every push share-locks this row. A name of NULL is a tombstone.
CREATE TABLE repositories (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  name TEXT UNIQUE,
  former_name TEXT,
  public INTEGER NOT NULL DEFAULT 0 CHECK (public IN (0, 1)),
  created_at INTEGER NOT NULL,
  deleted_at INTEGER,
  UNIQUE (id, account_id),
  CHECK ((name IS NULL) = (deleted_at IS NOT NULL))
) STRICT;
CREATE INDEX repositories_public ON repositories (name) WHERE public = 1;
CREATE INDEX repositories_deleted ON repositories (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX repositories_of_account ON repositories (account_id, name);

CREATE TABLE credentials (
  id INTEGER PRIMARY KEY,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  selector TEXT NOT NULL UNIQUE,
  secret_hash BLOB NOT NULL,
  service TEXT NOT NULL,
  scopes TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT;
CREATE INDEX credentials_of ON credentials (principal_id, expires_at);

-- Images: edge, link, account_blob, blob, storage key: each arrow RESTRICT.
CREATE TABLE blobs (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  storage_key TEXT NOT NULL UNIQUE,
  quarantined_at INTEGER,
  scrubbed_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX blobs_to_scrub ON blobs (scrubbed_at);

-- Presence, not a counter: what an account holds is exact and never a hot row.
CREATE TABLE account_blobs (
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
  blob_id INTEGER NOT NULL REFERENCES blobs (id) ON DELETE RESTRICT,
  PRIMARY KEY (account_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_blobs_of ON account_blobs (blob_id, account_id);

CREATE TABLE repository_blobs (
  repository_id INTEGER NOT NULL,
  blob_id INTEGER NOT NULL,
  account_id INTEGER NOT NULL,
  touched_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, blob_id),
  FOREIGN KEY (repository_id, account_id) REFERENCES repositories (id, account_id) ON DELETE RESTRICT,
  FOREIGN KEY (account_id, blob_id) REFERENCES account_blobs (account_id, blob_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blobs_of ON repository_blobs (account_id, blob_id, repository_id);

-- A manifest's bytes are a column: one indexed read serves it. The subject is weak by the specification: no foreign key.
CREATE TABLE manifests (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject_digest TEXT,
  referrer TEXT,
  size INTEGER NOT NULL,
  touched_at INTEGER NOT NULL,
  pushed_by INTEGER NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (repository_id, digest),
  UNIQUE (repository_id, id)
) STRICT;
CREATE INDEX referrers ON manifests (repository_id, subject_digest, id) WHERE subject_digest IS NOT NULL;

CREATE TABLE manifest_blobs (
  repository_id INTEGER NOT NULL,
  manifest_id INTEGER NOT NULL,
  blob_id INTEGER NOT NULL,
  PRIMARY KEY (repository_id, manifest_id, blob_id),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE CASCADE,
  FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blobs (repository_id, blob_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_blobs_of ON manifest_blobs (repository_id, blob_id);

CREATE TABLE manifest_children (
  repository_id INTEGER NOT NULL,
  parent_id INTEGER NOT NULL,
  child_id INTEGER NOT NULL,
  PRIMARY KEY (repository_id, parent_id, child_id),
  FOREIGN KEY (repository_id, parent_id) REFERENCES manifests (repository_id, id) ON DELETE CASCADE,
  FOREIGN KEY (repository_id, child_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_children_of ON manifest_children (repository_id, child_id);

CREATE TABLE tags (
  repository_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  manifest_id INTEGER NOT NULL,
  version INTEGER NOT NULL,
  moved_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, name),
  FOREIGN KEY (repository_id, manifest_id) REFERENCES manifests (repository_id, id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_of ON tags (repository_id, manifest_id);

-- A digest of NULL says that the tag was deleted. Versions have no gaps, and times rise with them.
CREATE TABLE tag_history (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  digest TEXT,
  at INTEGER NOT NULL,
  actor_id INTEGER NOT NULL,
  PRIMARY KEY (repository_id, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_history_at ON tag_history (repository_id, name, at);

CREATE TABLE uploads (
  id TEXT NOT NULL PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE RESTRICT,
  storage_key TEXT NOT NULL UNIQUE,
  tail_key TEXT UNIQUE,
  multipart_id TEXT,
  received INTEGER NOT NULL DEFAULT 0,
  hash_state BLOB,
  fence INTEGER NOT NULL DEFAULT 0,
  leased_until INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_expired ON uploads (expires_at);
CREATE INDEX uploads_in ON uploads (repository_id);
CREATE INDEX uploads_by ON uploads (principal_id);

CREATE TABLE upload_parts (
  upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT,
  PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;

-- What the collector looks at next: manifest and link belong to a repository, account to an account, blob to nobody (0).
CREATE TABLE candidates (
  kind TEXT NOT NULL CHECK (kind IN ('manifest', 'link', 'account', 'blob')),
  owner_id INTEGER NOT NULL,
  item_id INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  leased_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, owner_id, item_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX candidates_due ON candidates (due_at);

-- Keys that nothing names any more. A key is owned by exactly one row of uploads, blobs and this table (I3).
CREATE TABLE key_deletions (
  storage_key TEXT NOT NULL PRIMARY KEY,
  multipart_id TEXT,
  due_at INTEGER NOT NULL,
  passes INTEGER NOT NULL,
  leased_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX key_deletions_due ON key_deletions (due_at);

-- The outbox: append-only, numbered later by one sequencer. A NULL seq is not numbered yet.
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  seq INTEGER UNIQUE,
  chain BLOB,
  at INTEGER NOT NULL,
  actor_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  account_id INTEGER,
  repository_id INTEGER,
  subject TEXT NOT NULL,
  payload TEXT NOT NULL,
  request_id TEXT NOT NULL
) STRICT;
CREATE INDEX events_unsequenced ON events (id) WHERE seq IS NULL;
CREATE INDEX events_of_repository ON events (repository_id, seq);

CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Keys that sign bearer tokens: the private half is sealed under the master key before it comes here.
CREATE TABLE token_keys (
  kid TEXT NOT NULL PRIMARY KEY,
  sealed BLOB NOT NULL,
  public BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  retires_at INTEGER
) STRICT;

-- Statistics by hand, of a large registry with large repositories. Without any, SQLite takes a repository for ten rows and
-- would rather walk all of its tags than look three up, also where it checks a foreign key (I11). They are constants, so
-- that plans are the same on every day; a test reads the plans. PostgreSQL keeps its own.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('accounts', 'sqlite_autoindex_accounts_1', '100000 1'),
  ('users', 'sqlite_autoindex_users_1', '100000 1'),
  ('users', 'sqlite_autoindex_users_2', '100000 1'),
  ('users', 'users_administrators', '10 1'),
  ('repositories', 'sqlite_autoindex_repositories_1', '1000000 1'),
  ('repositories', 'sqlite_autoindex_repositories_2', '1000000 1 1'),
  ('repositories', 'repositories_public', '100000 1'),
  ('repositories', 'repositories_deleted', '1000 1'),
  ('repositories', 'repositories_of_account', '1000000 1000 1'),
  ('credentials', 'sqlite_autoindex_credentials_1', '100000 1'),
  ('credentials', 'credentials_of', '100000 10 1'),
  ('blobs', 'sqlite_autoindex_blobs_1', '10000000 1'),
  ('blobs', 'sqlite_autoindex_blobs_2', '10000000 1'),
  ('blobs', 'blobs_to_scrub', '10000000 10'),
  ('account_blobs', 'account_blobs', '10000000 10000 1'),
  ('account_blobs', 'account_blobs_of', '10000000 10 1'),
  ('repository_blobs', 'repository_blobs', '10000000 1000 1'),
  ('repository_blobs', 'repository_blobs_of', '10000000 10000 10 1'),
  ('manifests', 'sqlite_autoindex_manifests_1', '10000000 1000 1'),
  ('manifests', 'sqlite_autoindex_manifests_2', '10000000 1000 1'),
  ('manifests', 'referrers', '1000000 1000 10 1'),
  ('manifest_blobs', 'manifest_blobs', '100000000 10000 10 1'),
  ('manifest_blobs', 'manifest_blobs_of', '100000000 10000 10 1'),
  ('manifest_children', 'manifest_children', '10000000 1000 10 1'),
  ('manifest_children', 'manifest_children_of', '10000000 1000 2 1'),
  ('tags', 'tags', '10000000 1000 1'),
  ('tags', 'tags_of', '10000000 1000 2 1'),
  ('tag_history', 'tag_history', '100000000 10000 10 1'),
  ('tag_history', 'tag_history_at', '100000000 10000 10 1 1'),
  ('uploads', 'sqlite_autoindex_uploads_1', '10000 1'),
  ('uploads', 'sqlite_autoindex_uploads_2', '10000 1'),
  ('uploads', 'sqlite_autoindex_uploads_3', '10000 1'),
  ('uploads', 'uploads_expired', '10000 2'),
  ('uploads', 'uploads_in', '10000 100'),
  ('uploads', 'uploads_by', '10000 100'),
  ('upload_parts', 'upload_parts', '100000 100 1'),
  ('candidates', 'candidates', '1000000 100000 1000 1'),
  ('candidates', 'candidates_due', '1000000 10 10 10 1'),
  ('key_deletions', 'sqlite_autoindex_key_deletions_1', '100000 1'),
  ('key_deletions', 'key_deletions_due', '100000 10'),
  ('events', 'sqlite_autoindex_events_1', '100000000 1'),
  ('events', 'events_unsequenced', '1000 1'),
  ('events', 'events_of_repository', '100000000 10000 1');
ANALYZE sqlite_schema;
