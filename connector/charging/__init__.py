"""Charges: priced items ready to be invoiced, whoever produced them."""
