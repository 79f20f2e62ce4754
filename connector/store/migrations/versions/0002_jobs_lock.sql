-- A job that is tried again gives up its queueing lock: by then a second one may wait under the same
-- lock, and the unique index over waiting jobs would refuse the retry and leave it running for ever.
CREATE FUNCTION job_retry_frees_queueing_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.queueing_lock := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER job_retry_frees_queueing_lock
    BEFORE UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW
    WHEN (NEW.status = 'todo' AND OLD.status IN ('doing', 'failed'))
    EXECUTE FUNCTION job_retry_frees_queueing_lock();
