-- A job that waits for another's lock is announced when it comes, while it may not run yet. When the
-- lock is free nobody would be told, and the next look of a worker would come up to a poll later.
CREATE FUNCTION job_end_wakes_the_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM procrastinate_jobs WHERE lock = OLD.lock AND status = 'todo') THEN
        PERFORM pg_notify(
            'procrastinate_any_queue_v1',
            json_build_object('type', 'job_inserted', 'job_id', OLD.id)::text
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER job_end_wakes_the_next_delete
    AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW
    WHEN (OLD.status = 'doing' AND OLD.lock IS NOT NULL)
    EXECUTE FUNCTION job_end_wakes_the_next();

CREATE TRIGGER job_end_wakes_the_next_update
    AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW
    WHEN (OLD.status = 'doing' AND NEW.status <> 'doing' AND OLD.lock IS NOT NULL)
    EXECUTE FUNCTION job_end_wakes_the_next();
