"""Engines that run the rating plan."""
