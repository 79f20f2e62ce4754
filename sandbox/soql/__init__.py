"""SOQL: text to syntax tree, syntax tree to SQL, rows to records."""
