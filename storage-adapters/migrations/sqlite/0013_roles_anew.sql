-- A delegation whose file no reader takes any more may begin anew at its first version. What keeps files from before that out is
-- when they expire: the last of all that were published for the role, and of those from before it began anew. Of what a release
-- before this one has published that is not known, and counts as never.
ALTER TABLE trust_current ADD COLUMN latest_expiry INTEGER NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE trust_current ADD COLUMN begun_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trust_current ADD COLUMN lives INTEGER NOT NULL DEFAULT 0;
