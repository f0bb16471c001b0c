-- Whether the role `write` lets sign in an organization; where it does not, `sign` is granted beside it.
ALTER TABLE accounts ADD COLUMN writers_sign INTEGER NOT NULL DEFAULT 1 CHECK (writers_sign IN (0, 1));
