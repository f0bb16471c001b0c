-- The keys that owners were given, by which the registry signs in Notary's collections of a repository what is vouched for there. The
-- keys themselves lie with the signer; one that does not stand here signs nothing.
CREATE TABLE signing_keys (
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  key_id TEXT COLLATE "C" NOT NULL,
  given_at BIGINT NOT NULL,
  PRIMARY KEY (repository_id, key_id)
);
