"""Billing systems whose database we may read, with an outbox table in it for our commands."""
