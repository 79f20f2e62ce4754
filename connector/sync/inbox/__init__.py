"""What came in, durable before it is acknowledged, and how it is read."""
