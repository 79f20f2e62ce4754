"""Formula fields and validation rules: a small evaluator of Salesforce's formula language."""
