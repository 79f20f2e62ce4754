"""Customers, who is invoiced, where services are, and the brands that own them."""
