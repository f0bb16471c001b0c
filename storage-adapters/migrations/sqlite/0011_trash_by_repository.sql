-- Which repository's trash names a blob is asked with every link: it is answered by the index, however much of the trash names it.
CREATE TABLE trash_blobs_again (
  trash_id INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  account_id INTEGER NOT NULL,
  blob_id INTEGER NOT NULL,
  repository_id INTEGER NOT NULL,
  PRIMARY KEY (trash_id, blob_id),
  FOREIGN KEY (account_id, blob_id) REFERENCES account_blobs (account_id, blob_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
INSERT INTO trash_blobs_again (trash_id, account_id, blob_id, repository_id)
  SELECT n.trash_id, n.account_id, n.blob_id, t.repository_id FROM trash_blobs n JOIN trash t ON t.id = n.trash_id
   ORDER BY n.trash_id, n.blob_id;
DROP TABLE trash_blobs;
ALTER TABLE trash_blobs_again RENAME TO trash_blobs;
CREATE INDEX trash_blobs_of ON trash_blobs (account_id, blob_id, repository_id, trash_id);

DELETE FROM sqlite_stat1 WHERE tbl = 'trash_blobs';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('trash_blobs', 'trash_blobs', '1000000 10 1'),
  ('trash_blobs', 'trash_blobs_of', '1000000 1000 2 2 1');
ANALYZE sqlite_schema;
