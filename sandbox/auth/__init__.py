"""Ways to a session other than a password: signed assertions, codes, refresh tokens."""
