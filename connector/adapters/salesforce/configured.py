"""How the settings say to log in to the org."""

from connector.adapters.salesforce.login import ClientCredentials, Grant, JwtBearer, Login
from connector.config import SalesforceSettings
from connector.errors import Misconfigured


def login_of(org: SalesforceSettings) -> Login:
    """Return how to log in to the org that the settings name.

    Raises:
        Misconfigured: They name none, or lack what the login needs.
    """
    if org.login_url is None or org.client_id is None:
        raise Misconfigured(
            "No Salesforce org is configured.",
            remedy="Set salesforce.login_url and salesforce.client_id in config.yaml.",
        )
    return Login(
        login_url=org.login_url,
        grant=_grant(org),
        ca_file=org.ca_file,
        organization_id=org.organization_id,
    )


def _grant(org: SalesforceSettings) -> Grant:
    assert org.client_id is not None
    if org.auth == "jwt":
        if org.username is None or org.private_key_file is None:
            raise Misconfigured(
                "The JWT login lacks a user or a key.",
                remedy="Set salesforce.username and salesforce.private_key_file.",
            )
        try:
            key = org.private_key_file.read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"The key file {org.private_key_file} cannot be read.",
                remedy="Check salesforce.private_key_file and its permissions.",
            ) from error
        return JwtBearer(client_id=org.client_id, username=org.username, private_key_pem=key)
    if org.client_secret is None:
        raise Misconfigured(
            "The login lacks the app's secret.",
            remedy="Set L2C_SALESFORCE__CLIENT_SECRET or the secret file.",
        )
    return ClientCredentials(
        client_id=org.client_id, client_secret=org.client_secret.get_secret_value()
    )
