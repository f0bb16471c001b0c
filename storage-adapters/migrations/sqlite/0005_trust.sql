-- Content trust: the metadata of each collection, and what the signer keeps for itself.

-- A collection belongs to a repository under one of the registry's names; another name is another collection. `head` counts
-- the publishes: whoever publishes says on which one it rests.
CREATE TABLE trust_collections (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  dialect TEXT NOT NULL CHECK (dialect IN ('notary1', 'tuf1')),
  gun TEXT NOT NULL,
  head INTEGER NOT NULL,
  renew_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  UNIQUE (repository_id, dialect, gun)
) STRICT;
CREATE INDEX trust_renewals ON trust_collections (renew_at);

-- Every file that was published, byte for byte; one that another has replaced goes after a while.
CREATE TABLE trust_metadata (
  collection_id INTEGER NOT NULL REFERENCES trust_collections (id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  version INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  sha512 BLOB NOT NULL,
  published_at INTEGER NOT NULL,
  replaced_at INTEGER,
  body BLOB NOT NULL,
  PRIMARY KEY (collection_id, role, version)
) STRICT;
CREATE INDEX trust_metadata_by_sha256 ON trust_metadata (collection_id, role, sha256);
CREATE INDEX trust_metadata_by_sha512 ON trust_metadata (collection_id, role, sha512);
CREATE INDEX trust_metadata_replaced ON trust_metadata (collection_id, replaced_at) WHERE replaced_at IS NOT NULL;

-- Which of them holds.
CREATE TABLE trust_current (
  collection_id INTEGER NOT NULL,
  role TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (collection_id, role),
  FOREIGN KEY (collection_id, role, version) REFERENCES trust_metadata (collection_id, role, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX trust_current_file ON trust_current (collection_id, role, version);

-- The root chain of each trust domain, contiguous from 1 and kept for ever.
CREATE TABLE trust_roots (
  domain TEXT NOT NULL,
  version INTEGER NOT NULL,
  body BLOB NOT NULL,
  made_at INTEGER NOT NULL,
  PRIMARY KEY (domain, version)
) STRICT;

-- The registry's own repository of TUF 1.0: what verifiers need, such as roots and public keys, by name; and its metadata, whose
-- newest version of each role holds. `covers` says up to which change of the files, and which root, that is.
CREATE TABLE trust_files (
  name TEXT PRIMARY KEY,
  sha256 BLOB NOT NULL,
  body BLOB NOT NULL,
  put_at INTEGER NOT NULL
) STRICT;
CREATE TABLE trust_files_metadata (
  role TEXT NOT NULL,
  version INTEGER NOT NULL,
  renew_at INTEGER NOT NULL,
  covers TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (role, version)
) STRICT;

-- Who vouched for what a tag means. It holds for this digest alone: a tag that moves is not vouched for.
CREATE TABLE vouches (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  signer_id INTEGER NOT NULL,
  signer TEXT NOT NULL,
  source TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, tag)
) STRICT, WITHOUT ROWID;

-- When what was said of a tag was taken back, which no rule says again until the tag moves.
CREATE TABLE withdrawals (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  digest TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, tag)
) STRICT, WITHOUT ROWID;

-- What the registry signs by itself: what a holder pushes, or what a check passed that a holder reports.
CREATE TABLE sign_rules (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  holder_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  holder TEXT NOT NULL,
  check_name TEXT,
  made_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_rules_of ON sign_rules (repository_id, id);
CREATE INDEX sign_rules_holder ON sign_rules (holder_id);
CREATE TABLE checks (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  name TEXT NOT NULL,
  reporter_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, digest, name, reporter_id)
) STRICT;
CREATE INDEX checks_reporter ON checks (reporter_id);

-- The changefeed of content trust: these events in their order.
CREATE INDEX events_trust ON events (seq) WHERE kind IN ('trust_published', 'trust_renewed', 'trust_deleted');
CREATE INDEX events_trust_of ON events (repository_id, seq)
  WHERE kind IN ('trust_published', 'trust_renewed', 'trust_deleted');

-- The signer's own. No other part of the registry reads these, and with a database of its own it has only these.
CREATE TABLE signer_data_keys (
  id TEXT PRIMARY KEY,
  wrapped BLOB NOT NULL,
  made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A key signs for one role of one collection. It is unused until metadata names it.
CREATE TABLE signer_keys (
  id TEXT PRIMARY KEY,
  collection TEXT NOT NULL,
  role TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  public BLOB NOT NULL,
  sealed BLOB NOT NULL,
  data_key TEXT NOT NULL REFERENCES signer_data_keys (id) ON DELETE RESTRICT,
  made_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX signer_keys_sealed_by ON signer_keys (data_key);
CREATE INDEX signer_keys_of ON signer_keys (collection, role);

-- The last version of each role: none is signed twice, and none below it.
CREATE TABLE signer_floors (
  collection TEXT NOT NULL,
  role TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (collection, role)
) STRICT, WITHOUT ROWID;

-- The newest root of each trust domain that the signer was told of: it works under none that is older, and under no other one.
CREATE TABLE signer_roots (
  domain TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  body BLOB NOT NULL,
  endorsed_version INTEGER,
  endorsed_sha256 BLOB
) STRICT, WITHOUT ROWID;

-- Each signature, for ever.
CREATE TABLE signer_log (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  caller TEXT NOT NULL,
  collection TEXT NOT NULL,
  role TEXT NOT NULL,
  version INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  key_id TEXT NOT NULL
) STRICT;
CREATE INDEX signer_log_of ON signer_log (collection, role, version);
