"""What objects and fields there are: standard ones from data, custom ones from SFDX source."""
