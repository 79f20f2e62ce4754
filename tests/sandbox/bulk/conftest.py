"""What the tests of bulk jobs share."""

import pytest
from bulk_client import BulkClient
from org_client import Client


@pytest.fixture
def bulk(org: Client) -> BulkClient:
    """Bulk calls of the administrator."""
    return BulkClient(org)
