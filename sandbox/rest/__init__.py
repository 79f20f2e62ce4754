"""The REST API: one WSGI callable, a routing table, handlers by resource."""
