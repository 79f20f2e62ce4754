-- What a table definition cannot say. Statement by statement, in the order of the contexts.

-- An entry of the journal balances. Checked at commit, so its lines may come one by one or by COPY.
CREATE FUNCTION journal_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced record;
BEGIN
    SELECT entry_id, sum(debit) - sum(credit) AS difference INTO unbalanced
      FROM journal_line
     WHERE entry_id = NEW.entry_id OR entry_id = OLD.entry_id
     GROUP BY entry_id HAVING sum(debit) <> sum(credit)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'journal entry % is out of balance by %',
            unbalanced.entry_id, unbalanced.difference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_entry_balances';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER journal_entry_balances
    AFTER INSERT OR UPDATE OR DELETE ON journal_line
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION journal_entry_balances();
