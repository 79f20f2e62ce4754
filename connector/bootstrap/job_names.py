"""The jobs that use-cases nudge, by the names of their modules in jobs/."""

APPLY = "apply_inbox"
BILL_CHUNK = "bill_chunk"
BILLING = "pull_billing"
SWEEP = "sweep"
PUSH = "push_changes"
FILES = "push_files"
TASKS = "run_tasks"
