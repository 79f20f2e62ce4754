-- What a table definition cannot say. Statement by statement, in the order of the contexts.

-- An entry of the journal balances. Checked at commit, so its lines may come one by one or by COPY.
CREATE FUNCTION journal_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    difference numeric;
BEGIN
    SELECT sum(debit) - sum(credit) INTO difference
      FROM journal_line WHERE entry_id = coalesce(NEW.entry_id, OLD.entry_id);
    IF difference <> 0 THEN
        RAISE EXCEPTION 'journal entry % is out of balance by %',
            coalesce(NEW.entry_id, OLD.entry_id), difference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_entry_balances';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER journal_entry_balances
    AFTER INSERT OR UPDATE OR DELETE ON journal_line
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION journal_entry_balances();
