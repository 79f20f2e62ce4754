"""Work that runs by itself: the queue in PostgreSQL, its worker and the clock that fills it."""
