-- What accounts and repositories hold, counted without a row that two pushes change, and how much they may hold.

-- Limits in bytes; NULL: none. `passed` is 1 once it was told that the soft one is passed, until that is no longer so.
CREATE TABLE quotas (
  scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('account', 'repository')),
  scope_id BIGINT NOT NULL,
  soft BIGINT,
  hard BIGINT,
  passed BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (scope, scope_id)
);

-- Bytes in use are a total and the entries that are not added to it yet: changes only append entries, and a job folds them.
-- An entry with an upload is a reservation, and goes with its upload.
CREATE TABLE usage_totals (
  scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('account', 'repository')),
  scope_id BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (scope, scope_id)
);

-- What is there already: an account has each of its blobs once, and the manifests of all of its repositories.
INSERT INTO usage_totals (scope, scope_id, bytes)
SELECT 'account', held.account_id, SUM(held.size) FROM (
    SELECT a.account_id, b.size FROM account_blobs a JOIN blobs b ON b.id = a.blob_id
    UNION ALL SELECT r.account_id, m.size FROM manifests m JOIN repositories r ON r.id = m.repository_id
    UNION ALL SELECT r.account_id, t.size FROM trash t JOIN repositories r ON r.id = t.repository_id
  ) AS held GROUP BY held.account_id;
-- A repository has each blob once that it links or that something in its trash names, and its manifests.
INSERT INTO usage_totals (scope, scope_id, bytes)
SELECT 'repository', held.repository_id, SUM(held.size) FROM (
    SELECT l.repository_id, b.size FROM (
        SELECT repository_id, blob_id FROM repository_blobs
        UNION SELECT t.repository_id, n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id
      ) AS l JOIN blobs b ON b.id = l.blob_id
    UNION ALL SELECT m.repository_id, m.size FROM manifests m
    UNION ALL SELECT t.repository_id, t.size FROM trash t
  ) AS held GROUP BY held.repository_id;

-- Last, since what it refers to is locked from here on.
CREATE TABLE usage_entries (
  scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('account', 'repository')),
  scope_id BIGINT NOT NULL,
  id BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  upload_id TEXT COLLATE "C" REFERENCES uploads (id) ON DELETE CASCADE,
  PRIMARY KEY (scope, scope_id, id)
);
CREATE INDEX usage_entries_upload ON usage_entries (upload_id) WHERE upload_id IS NOT NULL;
