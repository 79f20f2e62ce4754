"""Raw vendor files become usage records; see README.md."""
