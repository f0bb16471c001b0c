-- Lists of people and repositories are asked for by a part of the names, a role or a visibility, and each is a range of an
-- index. A user's name never changes, so a membership may hold it; the trigger gives it also to a row of the release before.
ALTER TABLE members ADD COLUMN user_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE team_members ADD COLUMN user_name TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE members SET user_name = u.name FROM users u WHERE u.principal_id = members.user_id;
UPDATE team_members SET user_name = u.name FROM users u WHERE u.principal_id = team_members.user_id;

CREATE FUNCTION name_the_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.user_name := COALESCE((SELECT u.name FROM users u WHERE u.principal_id = NEW.user_id), '');
  RETURN NEW;
END
$$;
CREATE TRIGGER members_are_named BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION name_the_member();
CREATE TRIGGER team_members_are_named BEFORE INSERT ON team_members FOR EACH ROW EXECUTE FUNCTION name_the_member();

CREATE INDEX members_named ON members (account_id, user_name);
CREATE INDEX members_of_role ON members (account_id, owner, user_name);
CREATE INDEX team_members_named ON team_members (team_id, user_name, source);
CREATE INDEX accounts_organizations ON accounts (name) WHERE kind = 'organization';
CREATE INDEX repositories_private ON repositories (name) WHERE public = 0;
