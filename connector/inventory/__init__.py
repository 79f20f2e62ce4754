"""Service inventory: what customers have, since when, under which numbers."""
