"""Messages from outside, each stored before it is acknowledged."""
