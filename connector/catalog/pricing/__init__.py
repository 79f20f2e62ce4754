"""The one pricing function, its models, and what changes a price before it is rounded."""
