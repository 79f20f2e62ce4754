"""The hub in PostgreSQL: the server, the engine, the tables and their migrations."""
