"""The SOAP partner API: its WSDL, its envelope, its operations (fact sheet F)."""
