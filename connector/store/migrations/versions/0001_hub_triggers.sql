-- What a table definition cannot say. Statement by statement, in the order of the contexts.

-- An entry of the journal balances. What is added to it balances by itself, so the lines of an entry
-- come in one statement and are looked at together: a bill run adds them by the ten thousand.
CREATE FUNCTION journal_lines_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced record;
BEGIN
    SELECT entry_id, sum(debit) - sum(credit) AS difference INTO unbalanced
      FROM written GROUP BY entry_id HAVING sum(debit) <> sum(credit) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'journal entry % is out of balance by %',
            unbalanced.entry_id, unbalanced.difference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_entry_balances';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER journal_lines_balance AFTER INSERT ON journal_line
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION journal_lines_balance();

-- Nothing of ours changes a line. Whoever does is checked at commit, line by line.
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
    AFTER UPDATE OR DELETE ON journal_line
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION journal_entry_balances();

-- A finalised document is never changed and never deleted: it is corrected by another document.
CREATE FUNCTION invoice_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'document % is finalised; correct it by a credit note', OLD.number
        USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_is_immutable';
END
$$;

CREATE TRIGGER invoice_is_immutable
    BEFORE UPDATE OR DELETE ON invoice
    FOR EACH ROW WHEN (OLD.state = 'finalised' AND OLD.system = 'builtin')
    EXECUTE FUNCTION invoice_is_immutable();

-- A document of a foreign billing system is a copy and follows its original, so the rule is for ours
-- alone; hence nothing may change sides.
CREATE FUNCTION billing_system_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % belongs to the billing system %', TG_TABLE_NAME, OLD.id, OLD.system
        USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_system_stays';
END
$$;

CREATE TRIGGER invoice_system_stays BEFORE UPDATE OF system ON invoice
    FOR EACH ROW WHEN (OLD.system <> NEW.system) EXECUTE FUNCTION billing_system_stays();
CREATE TRIGGER payment_system_stays BEFORE UPDATE OF system ON payment
    FOR EACH ROW WHEN (OLD.system <> NEW.system) EXECUTE FUNCTION billing_system_stays();
CREATE TRIGGER allocation_system_stays BEFORE UPDATE OF system ON allocation
    FOR EACH ROW WHEN (OLD.system <> NEW.system) EXECUTE FUNCTION billing_system_stays();

-- Once per statement, because a bill run copies lines by the hundred thousand. By key and never by a
-- join: nobody knows how many parts there are, and a plan made for few took 0.4 ms for each of many.
CREATE FUNCTION invoice_part_is_immutable() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    documents bigint[] := ARRAY(SELECT DISTINCT p.invoice_id FROM parts p);
    touched text;
BEGIN
    SELECT i.number INTO touched
      FROM invoice i
     WHERE i.id = ANY(documents) AND i.state = 'finalised' AND i.system = 'builtin' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'document % is finalised; its lines and taxes stay as they are', touched
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_part_is_immutable';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER invoice_line_insert_immutable AFTER INSERT ON invoice_line
    REFERENCING NEW TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
CREATE TRIGGER invoice_line_update_immutable AFTER UPDATE ON invoice_line
    REFERENCING OLD TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
CREATE TRIGGER invoice_line_delete_immutable AFTER DELETE ON invoice_line
    REFERENCING OLD TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
CREATE TRIGGER invoice_tax_insert_immutable AFTER INSERT ON invoice_tax
    REFERENCING NEW TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
CREATE TRIGGER invoice_tax_update_immutable AFTER UPDATE ON invoice_tax
    REFERENCING OLD TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
CREATE TRIGGER invoice_tax_delete_immutable AFTER DELETE ON invoice_tax
    REFERENCING OLD TABLE AS parts
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_part_is_immutable();
