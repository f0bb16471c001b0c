-- The trash: what was deleted and may be brought back, and why the collector looks at what it looks at.

-- A manifest that was deleted, whole. `tags` is the list of those that pointed to it, as JSON; `referrers_after` is how far
-- the end of its window has come among those that refer to it.
CREATE TABLE trash (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject_digest TEXT,
  referrer TEXT,
  size INTEGER NOT NULL,
  body BLOB NOT NULL,
  tags TEXT NOT NULL,
  deleted_at INTEGER NOT NULL,
  deleted_by INTEGER NOT NULL,
  purge_at INTEGER NOT NULL,
  referrers_after INTEGER NOT NULL DEFAULT 0,
  leased_until INTEGER NOT NULL DEFAULT 0,
  UNIQUE (repository_id, digest)
) STRICT;
CREATE INDEX trash_due ON trash (purge_at);

-- What it names pins the bytes in its account, not the link: a blob that was deleted is absent at once, and can come back.
CREATE TABLE trash_blobs (
  trash_id INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  account_id INTEGER NOT NULL,
  blob_id INTEGER NOT NULL,
  PRIMARY KEY (trash_id, blob_id),
  FOREIGN KEY (account_id, blob_id) REFERENCES account_blobs (account_id, blob_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_blobs_of ON trash_blobs (account_id, blob_id);

CREATE TABLE trash_children (
  trash_id INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  repository_id INTEGER NOT NULL,
  child_digest TEXT NOT NULL,
  PRIMARY KEY (trash_id, child_digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_children_of ON trash_children (repository_id, child_digest);

-- 1: what it belonged to is gone, so that it goes too when nothing else keeps it. Without, a manifest stays, tag or none.
ALTER TABLE candidates ADD COLUMN orphaned INTEGER NOT NULL DEFAULT 0;

-- When a deleted repository stops waiting for being brought back. Those that were deleted before this wait for nothing.
ALTER TABLE repositories ADD COLUMN purge_at INTEGER;
UPDATE repositories SET purge_at = deleted_at WHERE deleted_at IS NOT NULL;
CREATE INDEX repositories_purged ON repositories (purge_at) WHERE purge_at IS NOT NULL;
-- The release before this deletes without a window while both run.
CREATE INDEX repositories_undated ON repositories (id) WHERE purge_at IS NULL AND deleted_at IS NOT NULL;
-- Until when one that could not be emptied is left alone.
ALTER TABLE repositories ADD COLUMN empty_after INTEGER NOT NULL DEFAULT 0;

-- The release before this showed every blob for ever: whoever was told of one has a day to name it.
UPDATE candidates SET due_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000 + 86400000 WHERE due_at < CAST(strftime('%s', 'now') AS INTEGER) * 1000 + 86400000;

-- What is known to be damaged is not read again, and stands in nobody's way.
DROP INDEX blobs_to_scrub;
CREATE INDEX blobs_to_scrub ON blobs (scrubbed_at) WHERE quarantined_at IS NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('trash', 'sqlite_autoindex_trash_1', '100000 100 1'),
  ('trash', 'trash_due', '100000 2'),
  ('trash_blobs', 'trash_blobs', '1000000 10 1'),
  ('trash_blobs', 'trash_blobs_of', '1000000 1000 2 1'),
  ('trash_children', 'trash_children', '100000 4 1'),
  ('trash_children', 'trash_children_of', '100000 100 2 1'),
  ('blobs', 'blobs_to_scrub', '10000000 10'),
  ('repositories', 'repositories_undated', '10 1'),
  ('repositories', 'repositories_purged', '1000 1');
ANALYZE sqlite_schema;
