"""How the connector talks to a Salesforce org: login, session, REST."""
