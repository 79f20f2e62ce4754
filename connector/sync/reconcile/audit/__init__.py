"""The audit: services of an org against invoices, without a store and without a trace."""
