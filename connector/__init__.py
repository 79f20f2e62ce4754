"""A connector that keeps Salesforce and billing telling one story, from lead to cash."""
