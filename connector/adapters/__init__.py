"""The outside world, one folder each; no adapter knows another."""
