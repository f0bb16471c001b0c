-- The log of signatures is only added to: by no statement of ours, and by nobody's by mistake.
CREATE TRIGGER signer_log_is_not_changed BEFORE UPDATE ON signer_log
BEGIN SELECT RAISE(ABORT, 'the log of signatures is only added to'); END;
CREATE TRIGGER signer_log_is_not_shortened BEFORE DELETE ON signer_log
BEGIN SELECT RAISE(ABORT, 'the log of signatures is only added to'); END;
