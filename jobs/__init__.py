"""Scheduled jobs: one thin module each, with its schedule and one use-case call."""
