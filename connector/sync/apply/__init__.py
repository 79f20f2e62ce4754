"""Applies what came in: attributes to the hub, asks to their flows."""
