-- Which repository's trash names a blob is asked with every link: it is answered by the index, however much of the trash names it.
ALTER TABLE trash_blobs ADD COLUMN repository_id BIGINT;
UPDATE trash_blobs n SET repository_id = t.repository_id FROM trash t WHERE t.id = n.trash_id;
-- The release before this does not say it, and may be at work meanwhile.
CREATE FUNCTION say_whose_trash() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN NEW.repository_id := (SELECT t.repository_id FROM trash t WHERE t.id = NEW.trash_id); RETURN NEW; END';
CREATE TRIGGER trash_blobs_are_somebodys BEFORE INSERT ON trash_blobs
  FOR EACH ROW WHEN (NEW.repository_id IS NULL) EXECUTE FUNCTION say_whose_trash();
ALTER TABLE trash_blobs ALTER COLUMN repository_id SET NOT NULL;
DROP INDEX trash_blobs_of;
CREATE INDEX trash_blobs_of ON trash_blobs (account_id, blob_id, repository_id, trash_id);
