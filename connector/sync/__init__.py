"""Keeps the hub and Salesforce telling the same story, by mapping files."""
