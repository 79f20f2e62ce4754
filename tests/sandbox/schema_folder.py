"""Writes metadata files as a source folder has them."""

from pathlib import Path

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
NAME = "<nameField><label>Name</label><type>Text</type></nameField>"


class SourceFolder:
    """An SFDX source folder in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, root: str, body: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{body}</{root}>\n'
        )

    def object(self, name: str, body: str = NAME) -> None:
        labels = f"<label>{name}</label><pluralLabel>{name}s</pluralLabel>"
        self.write(f"objects/{name}/{name}.object-meta.xml", "CustomObject", labels + body)

    def field(self, owner: str, name: str, kind: str, body: str = "") -> None:
        head = f"<fullName>{name}</fullName><label>{name}</label><type>{kind}</type>"
        self.write(f"objects/{owner}/fields/{name}.field-meta.xml", "CustomField", head + body)

    def message(self, owner: str, name: str, rules: str = "") -> None:
        """Write the one workflow file of an object: an outbound message, and rules."""
        body = (
            f"<outboundMessages><fullName>{name}</fullName><apiVersion>64.0</apiVersion>"
            "<endpointUrl>https://connector.example.com/listener</endpointUrl><fields>Id</fields>"
            f"<includeSessionId>false</includeSessionId><name>{name}</name></outboundMessages>"
        )
        self.write(f"workflows/{owner}.workflow-meta.xml", "Workflow", body + rules)
