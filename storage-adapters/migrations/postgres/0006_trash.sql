-- The trash: what was deleted and may be brought back, and why the collector looks at what it looks at.

-- A manifest that was deleted, whole. `tags` is the list of those that pointed to it, as JSON; `referrers_after` is how far
-- the end of its window has come among those that refer to it.
CREATE TABLE trash (
  id BIGINT PRIMARY KEY,
  repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  digest TEXT COLLATE "C" NOT NULL,
  media_type TEXT COLLATE "C" NOT NULL,
  artifact_type TEXT COLLATE "C",
  subject_digest TEXT COLLATE "C",
  referrer TEXT COLLATE "C",
  size BIGINT NOT NULL,
  body BYTEA NOT NULL,
  tags TEXT COLLATE "C" NOT NULL,
  deleted_at BIGINT NOT NULL,
  deleted_by BIGINT NOT NULL,
  purge_at BIGINT NOT NULL,
  referrers_after BIGINT NOT NULL DEFAULT 0,
  leased_until BIGINT NOT NULL DEFAULT 0,
  UNIQUE (repository_id, digest)
);
CREATE INDEX trash_due ON trash (purge_at);

-- What it names pins the bytes in its account, not the link: a blob that was deleted is absent at once, and can come back.
CREATE TABLE trash_blobs (
  trash_id BIGINT NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  account_id BIGINT NOT NULL,
  blob_id BIGINT NOT NULL,
  PRIMARY KEY (trash_id, blob_id),
  FOREIGN KEY (account_id, blob_id) REFERENCES account_blobs (account_id, blob_id) ON DELETE RESTRICT
);
CREATE INDEX trash_blobs_of ON trash_blobs (account_id, blob_id);

CREATE TABLE trash_children (
  trash_id BIGINT NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  repository_id BIGINT NOT NULL,
  child_digest TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (trash_id, child_digest)
);
CREATE INDEX trash_children_of ON trash_children (repository_id, child_digest);

-- 1: what it belonged to is gone, so that it goes too when nothing else keeps it. Without, a manifest stays, tag or none.
ALTER TABLE candidates ADD COLUMN orphaned BIGINT NOT NULL DEFAULT 0;

-- When a deleted repository stops waiting for being brought back. Those that were deleted before this wait for nothing.
ALTER TABLE repositories ADD COLUMN purge_at BIGINT;
UPDATE repositories SET purge_at = deleted_at WHERE deleted_at IS NOT NULL;
CREATE INDEX repositories_purged ON repositories (purge_at) WHERE purge_at IS NOT NULL;
-- The release before this deletes without a window while both run.
CREATE INDEX repositories_undated ON repositories (id) WHERE purge_at IS NULL AND deleted_at IS NOT NULL;
-- Until when one that could not be emptied is left alone.
ALTER TABLE repositories ADD COLUMN empty_after BIGINT NOT NULL DEFAULT 0;

-- The release before this showed every blob for ever: whoever was told of one has a day to name it.
UPDATE candidates SET due_at = CAST(extract(epoch FROM now()) * 1000 AS BIGINT) + 86400000 WHERE due_at < CAST(extract(epoch FROM now()) * 1000 AS BIGINT) + 86400000;

-- What is known to be damaged is not read again, and stands in nobody's way.
DROP INDEX blobs_to_scrub;
CREATE INDEX blobs_to_scrub ON blobs (scrubbed_at) WHERE quarantined_at IS NULL;
