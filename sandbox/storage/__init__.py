"""Records in SQLite: one table per object, typed columns, exact numbers."""
