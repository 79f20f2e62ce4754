"""The PDF of an invoice lies beside it in the CRM, once, and on the account too."""

import hashlib

import pytest
from sqlalchemy import text
from sync_out.world import NOW

from connector.sync.push.files import files_owed, push_files

VERSIONS = "SELECT Id, Title, PathOnClient, ContentSize, ContentDocumentId FROM ContentVersion"


def _render(change, store, invoice: int, content: bytes) -> None:
    with store.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO invoice_document"
                " (invoice_id, media_type, sha256, content, rendered_at)"
                " VALUES (:invoice, 'application/pdf', :sha256, :content, now())"
                " ON CONFLICT (invoice_id, media_type) DO UPDATE"
                " SET content = excluded.content, sha256 = excluded.sha256"
            ),
            {
                "invoice": invoice,
                "sha256": hashlib.sha256(content).hexdigest(),
                "content": content,
            },
        )


@pytest.fixture
def rendered(world, store, change):
    _render(change, store, world.invoice, b"%PDF-1.7 first")


@pytest.fixture
def send(store, client, mappings):
    def run():
        return push_files(store=store, org=client, mappings=mappings, now=NOW)

    return run


def test_waits_for_its_invoice(rendered, send, crm):
    assert send().sent == 0
    assert crm.rows(VERSIONS) == []


def test_is_linked_to_the_invoice_and_to_the_account(rendered, world, push, send, crm):
    push()

    assert send().sent == 1

    version = crm.one(VERSIONS)
    assert version["PathOnClient"] == f"{version['Title']}.pdf"
    assert version["ContentSize"] == len(b"%PDF-1.7 first")
    links = crm.rows(
        "SELECT LinkedEntityId FROM ContentDocumentLink "
        f"WHERE ContentDocumentId = '{version['ContentDocumentId']}'"
    )
    invoice = crm.one("SELECT Id FROM L2C_Invoice__c")["Id"]
    account = crm.one("SELECT Id FROM Account WHERE Name = 'Dental Group'")["Id"]
    assert {link["LinkedEntityId"] for link in links} >= {invoice, account}


def test_the_invoice_says_where_it_is(rendered, push, send, crm):
    push()
    send()
    push()

    document = crm.one(VERSIONS)["ContentDocumentId"]
    assert crm.one("SELECT Pdf__c FROM L2C_Invoice__c")["Pdf__c"] == f"/{document}"


def test_is_not_sent_twice(rendered, push, send, crm, store, mappings):
    push()
    send()

    again = send()

    assert (again.sent, again.api_calls) == (0, 0)
    assert len(crm.rows(VERSIONS)) == 1
    with store.read() as tx:
        assert files_owed(tx, mappings) == 0


def test_whose_answer_was_lost_is_found_again(rendered, push, send, crm, org):
    push()
    cut = [{"kind": "drop_after", "path": "composite", "count": 1}]
    org.admin("faults", body={"faults": cut})

    first = send()
    org.admin("faults", method="DELETE")
    second = send()

    assert first.interrupted
    assert second.sent == 1
    assert len(crm.rows(VERSIONS)) == 1


def test_that_is_rendered_anew_becomes_a_new_version_of_the_same_document(
    rendered, world, push, send, crm, store, change
):
    push()
    send()
    _render(change, store, world.invoice, b"%PDF-1.7 second, longer")

    assert send().sent == 1

    versions = crm.rows(VERSIONS)
    assert len(versions) == 2
    assert len({one["ContentDocumentId"] for one in versions}) == 1


def test_that_the_crm_refuses_is_told_and_tried_again_later(rendered, push, send, crm, org, store):
    push()
    refused = {
        "kind": "rows", "object": "ContentVersion", "count": 1,
        "code": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded",
    }  # fmt: skip
    org.admin("faults", body={"faults": [refused]})

    assert send().refused == 1
    assert send().api_calls == 0  # not before an hour has passed
    with store.transaction() as tx:
        code = tx.execute(text("SELECT error_code FROM crm_record WHERE status = 'Error'"))
        assert code.scalar_one() == "STORAGE_LIMIT_EXCEEDED"
        tx.execute(text("UPDATE crm_record SET next_attempt_at = now() WHERE status = 'Error'"))

    assert send().sent == 1
