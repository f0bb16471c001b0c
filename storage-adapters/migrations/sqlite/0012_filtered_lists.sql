-- Lists of people and repositories are asked for by a part of the names, a role or a visibility, and each is a range of an
-- index. A user's name never changes, so a membership may hold it; the trigger gives it also to a row of the release before.
ALTER TABLE members ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
ALTER TABLE team_members ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
UPDATE members SET user_name = (SELECT name FROM users WHERE principal_id = members.user_id);
UPDATE team_members SET user_name = (SELECT name FROM users WHERE principal_id = team_members.user_id);

CREATE TRIGGER members_are_named AFTER INSERT ON members
BEGIN
  UPDATE members SET user_name = (SELECT name FROM users WHERE principal_id = NEW.user_id)
   WHERE account_id = NEW.account_id AND user_id = NEW.user_id;
END;
CREATE TRIGGER team_members_are_named AFTER INSERT ON team_members
BEGIN
  UPDATE team_members SET user_name = (SELECT name FROM users WHERE principal_id = NEW.user_id)
   WHERE team_id = NEW.team_id AND user_id = NEW.user_id AND source = NEW.source;
END;

CREATE INDEX members_named ON members (account_id, user_name);
CREATE INDEX members_of_role ON members (account_id, owner, user_name);
CREATE INDEX team_members_named ON team_members (team_id, user_name, source);
CREATE INDEX accounts_organizations ON accounts (name) WHERE kind = 'organization';
CREATE INDEX repositories_private ON repositories (name) WHERE public = 0;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('members', 'members_named', '100000 100 1'),
  ('members', 'members_of_role', '100000 100 50 1'),
  ('team_members', 'team_members_named', '1000000 100 1 1'),
  ('accounts', 'accounts_organizations', '1000 1'),
  ('repositories', 'repositories_private', '90000 1');
ANALYZE sqlite_schema;
