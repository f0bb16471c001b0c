-- The log of signatures is only added to: by no statement of ours, and by nobody's by mistake.
CREATE FUNCTION signer_log_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log of signatures is only added to';
END
$$;
CREATE TRIGGER signer_log_is_not_changed BEFORE UPDATE OR DELETE ON signer_log
  FOR EACH ROW EXECUTE FUNCTION signer_log_refuses();
CREATE TRIGGER signer_log_is_not_emptied BEFORE TRUNCATE ON signer_log
  FOR EACH STATEMENT EXECUTE FUNCTION signer_log_refuses();
