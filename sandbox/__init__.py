"""A local, Salesforce-compatible org for tests, demos and rehearsals."""
