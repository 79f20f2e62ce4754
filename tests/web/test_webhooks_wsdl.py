"""The WSDL of the messages that are taken in is served, and a SOAP library can read it."""

from io import BytesIO

import pytest
import zeep
from flask import Flask
from flask.testing import FlaskClient

from connector.resources import salesforce_dir
from connector.sync.inbox.wsdl import MessageShape, message_shapes
from connector.sync.mapping.loading import load_mappings
from connector.web.webhooks.wsdl import blueprint


class App:
    """What the room needs: the shapes of the shipped mappings."""

    shapes: dict[str, MessageShape] = message_shapes(load_mappings(), metadata=salesforce_dir())


@pytest.fixture
def client() -> FlaskClient:
    flask = Flask("test")
    flask.register_blueprint(blueprint(App()))
    return flask.test_client()


def test_every_message_has_an_address(client: FlaskClient) -> None:
    listed = client.get("/webhooks/salesforce/wsdl").get_json()["messages"]

    assert listed.keys() == App.shapes.keys()
    assert listed["Account"].endswith("/webhooks/salesforce/wsdl/Account")


def test_zeep_reads_it_and_money_is_no_float(client: FlaskClient) -> None:
    served = client.get("/webhooks/salesforce/wsdl/Account")

    assert served.mimetype == "text/xml"
    wsdl = zeep.Client(BytesIO(served.data)).wsdl
    assert "notifications" in str(
        wsdl.types.get_element("{http://soap.sforce.com/2005/09/outbound}notifications")
    )
    assert b"xsd:double" not in served.data


def test_an_object_without_a_message_is_refused_by_name(client: FlaskClient) -> None:
    refused = client.get("/webhooks/salesforce/wsdl/Campaign")

    assert refused.status_code == 404
    assert "Campaign" in refused.get_json()["error"]
    assert "Account" in refused.get_json()["remedy"]
