"""SQL over the queue's tables."""

from sqlalchemy import text

STATE = text("""
    SELECT count(*) FILTER (WHERE status = 'todo' AND coalesce(scheduled_at, now()) <= now())
               AS waiting,
           count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()) AS scheduled,
           count(*) FILTER (WHERE status = 'doing') AS running,
           count(*) FILTER (WHERE status = 'failed') AS failed
      FROM procrastinate_jobs
""")

# Nobody else uses the store, so whatever is running has lost its worker.
REQUEUE_RUNNING = text("""
    SELECT count(procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL)::text)
      FROM procrastinate_jobs WHERE status = 'doing'
""")

DELETE_FAILED = text("""
    DELETE FROM procrastinate_jobs job
     WHERE status = 'failed'
       AND (SELECT max(at) FROM procrastinate_events WHERE job_id = job.id) < :before
""")

CLAIM_TICK = text("""
    INSERT INTO job_tick (job, due_at) VALUES (:job, :due_at)
    ON CONFLICT DO NOTHING RETURNING job
""")

# Older ticks serve nobody: schedulers differ by seconds. The newest always stays.
FORGET_TICKS = text("DELETE FROM job_tick WHERE job = :job AND due_at < :before")

LAST_TICK = text("SELECT max(due_at) FROM job_tick WHERE job = :job")
