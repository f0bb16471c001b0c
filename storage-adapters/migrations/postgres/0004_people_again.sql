-- Names that rest, where a membership comes from, and when a directory or provider last vouched for somebody.

-- When a name was last released, and by which account: of an account that was removed, or of a repository that was deleted
-- or renamed; the one that was renamed may take it back. A row says nothing about a name that somebody has, and how long a
-- name rests is a setting.
CREATE TABLE resting_names (
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('account', 'repository')),
  name TEXT COLLATE "C" NOT NULL,
  account_id BIGINT NOT NULL,
  repository_id BIGINT,
  released_at BIGINT NOT NULL,
  PRIMARY KEY (kind, name)
);
CREATE INDEX resting_names_released ON resting_names (released_at);

-- The directory or provider whose groups made somebody a member; none when somebody's hand did.
ALTER TABLE members ADD COLUMN source TEXT COLLATE "C";

-- When the directory or provider that knows a user last said so, and since when it has had the password that they have there.
ALTER TABLE users ADD COLUMN vouched_at BIGINT;
ALTER TABLE users ADD COLUMN source_password_at BIGINT;
-- Nobody wrote down when that was: everybody's time begins now, or whoever came long ago would lose their teams at once.
UPDATE users SET vouched_at = CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000 WHERE source IS NOT NULL;
