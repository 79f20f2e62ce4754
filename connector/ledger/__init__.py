"""The double-entry journal behind billing."""
