"""Outbound messages: flows put notifications into a queue, a worker sends them until acknowledged."""
