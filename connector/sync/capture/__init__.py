"""Finds out what changed in the CRM and stores it in the inbox."""
