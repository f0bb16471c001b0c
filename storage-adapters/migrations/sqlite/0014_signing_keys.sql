-- The keys that owners were given, by which the registry signs in Notary's collections of a repository what is vouched for there. The
-- keys themselves lie with the signer; one that does not stand here, or was taken back, signs nothing. None is forgotten: what it has
-- signed is published by nobody else, also when its repository is gone.
CREATE TABLE signing_keys (
  key_id TEXT PRIMARY KEY,
  repository_id INTEGER NOT NULL,
  given_at INTEGER NOT NULL,
  taken_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX signing_keys_of ON signing_keys (repository_id, key_id);
