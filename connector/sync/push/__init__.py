"""The way out: what the hub owes the CRM."""
