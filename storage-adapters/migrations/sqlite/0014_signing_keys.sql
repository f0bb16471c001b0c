-- The keys that owners were given, by which the registry signs in Notary's collections of a repository what is vouched for there. The
-- keys themselves lie with the signer; one that does not stand here signs nothing.
CREATE TABLE signing_keys (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  key_id TEXT NOT NULL,
  given_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, key_id)
) STRICT, WITHOUT ROWID;
