"""Compares both sides as a whole."""
