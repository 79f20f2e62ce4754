"""The API calls of a day: how many, and for what."""
