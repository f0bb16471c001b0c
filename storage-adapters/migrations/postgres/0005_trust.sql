-- Content trust: the metadata of each collection, and what the signer keeps for itself.

-- A collection belongs to a repository under one of the registry's names; another name is another collection. `head` counts
-- the publishes: whoever publishes says on which one it rests.
CREATE TABLE trust_collections (
  id BIGINT PRIMARY KEY,
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  dialect TEXT COLLATE "C" NOT NULL CHECK (dialect IN ('notary1', 'tuf1')),
  gun TEXT COLLATE "C" NOT NULL,
  head BIGINT NOT NULL,
  renew_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  UNIQUE (repository_id, dialect, gun)
);
CREATE INDEX trust_renewals ON trust_collections (renew_at);

-- Every file that was published, byte for byte; one that another has replaced goes after a while.
CREATE TABLE trust_metadata (
  collection_id BIGINT NOT NULL REFERENCES trust_collections (id) ON DELETE CASCADE,
  role TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  sha256 BYTEA NOT NULL,
  sha512 BYTEA NOT NULL,
  published_at BIGINT NOT NULL,
  replaced_at BIGINT,
  body BYTEA NOT NULL,
  PRIMARY KEY (collection_id, role, version)
);
CREATE INDEX trust_metadata_by_sha256 ON trust_metadata (collection_id, role, sha256);
CREATE INDEX trust_metadata_by_sha512 ON trust_metadata (collection_id, role, sha512);
CREATE INDEX trust_metadata_replaced ON trust_metadata (collection_id, replaced_at) WHERE replaced_at IS NOT NULL;

-- Which of them holds.
CREATE TABLE trust_current (
  collection_id BIGINT NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (collection_id, role),
  FOREIGN KEY (collection_id, role, version) REFERENCES trust_metadata (collection_id, role, version) ON DELETE CASCADE
);
CREATE INDEX trust_current_file ON trust_current (collection_id, role, version);

-- The root chain of each trust domain, contiguous from 1 and kept for ever.
CREATE TABLE trust_roots (
  domain TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  body BYTEA NOT NULL,
  made_at BIGINT NOT NULL,
  PRIMARY KEY (domain, version)
);

-- The registry's own repository of TUF 1.0: what verifiers need, such as roots and public keys, by name; and its metadata, whose
-- newest version of each role holds. `covers` says up to which change of the files, and which root, that is.
CREATE TABLE trust_files (
  name TEXT COLLATE "C" PRIMARY KEY,
  sha256 BYTEA NOT NULL,
  body BYTEA NOT NULL,
  put_at BIGINT NOT NULL
);
CREATE TABLE trust_files_metadata (
  role TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  renew_at BIGINT NOT NULL,
  covers TEXT COLLATE "C" NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (role, version)
);

-- Who vouched for what a tag means. It holds for this digest alone: a tag that moves is not vouched for.
CREATE TABLE vouches (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  tag TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  size BIGINT NOT NULL,
  media_type TEXT COLLATE "C" NOT NULL,
  signer_id BIGINT NOT NULL,
  signer TEXT COLLATE "C" NOT NULL,
  source TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, tag)
);

-- When what was said of a tag was taken back, which no rule says again until the tag moves.
CREATE TABLE withdrawals (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  tag TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, tag)
);

-- What the registry signs by itself: what a holder pushes, or what a check passed that a holder reports.
CREATE TABLE sign_rules (
  id BIGINT PRIMARY KEY,
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  holder_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  holder TEXT COLLATE "C" NOT NULL,
  check_name TEXT COLLATE "C",
  made_at BIGINT NOT NULL
);
CREATE INDEX sign_rules_of ON sign_rules (repository_id, id);
CREATE INDEX sign_rules_holder ON sign_rules (holder_id);
CREATE TABLE checks (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  digest TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  reporter_id BIGINT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
  at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, digest, name, reporter_id)
);
CREATE INDEX checks_reporter ON checks (reporter_id);

-- The changefeed of content trust: these events in their order.
CREATE INDEX events_trust ON events (seq) WHERE kind IN ('trust_published', 'trust_renewed', 'trust_deleted');
CREATE INDEX events_trust_of ON events (repository_id, seq)
  WHERE kind IN ('trust_published', 'trust_renewed', 'trust_deleted');

-- The signer's own. No other part of the registry reads these, and with a database of its own it has only these.
CREATE TABLE signer_data_keys (
  id TEXT COLLATE "C" PRIMARY KEY,
  wrapped BYTEA NOT NULL,
  made_at BIGINT NOT NULL
);

-- A key signs for one role of one collection. It is unused until metadata names it.
CREATE TABLE signer_keys (
  id TEXT COLLATE "C" PRIMARY KEY,
  collection TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  algorithm TEXT COLLATE "C" NOT NULL,
  public BYTEA NOT NULL,
  sealed BYTEA NOT NULL,
  data_key TEXT COLLATE "C" NOT NULL REFERENCES signer_data_keys (id) ON DELETE RESTRICT,
  made_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE INDEX signer_keys_sealed_by ON signer_keys (data_key);
CREATE INDEX signer_keys_of ON signer_keys (collection, role);

-- The last version of each role: none is signed twice, and none below it.
CREATE TABLE signer_floors (
  collection TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (collection, role)
);

-- The newest root of each trust domain that the signer was told of: it works under none that is older, and under no other one.
CREATE TABLE signer_roots (
  domain TEXT COLLATE "C" PRIMARY KEY,
  version BIGINT NOT NULL,
  sha256 BYTEA NOT NULL,
  body BYTEA NOT NULL,
  endorsed_version BIGINT,
  endorsed_sha256 BYTEA
);

-- Each signature, for ever.
CREATE TABLE signer_log (
  id BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  caller TEXT COLLATE "C" NOT NULL,
  collection TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  sha256 BYTEA NOT NULL,
  key_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX signer_log_of ON signer_log (collection, role, version);
