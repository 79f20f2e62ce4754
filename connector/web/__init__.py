"""What the connector serves over HTTP: webhooks, console."""
