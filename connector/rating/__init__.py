"""Usage records become rated usage and summaries; see README.md."""
