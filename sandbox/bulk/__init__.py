"""Bulk API 2.0: jobs that take or give CSV and are worked off behind the calls (fact sheet E)."""
