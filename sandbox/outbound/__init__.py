"""Outbound messages: flows queue notifications, workers send them until acknowledged."""
