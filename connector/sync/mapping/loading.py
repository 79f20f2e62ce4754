"""Reads mapping files; a mistake names the file, the line and the remedy (design 4)."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from connector.store.mapping_files import MappingError, salesforce_mappings
from connector.sync.mapping.coherence import ListedIn, check_alone, check_together
from connector.sync.mapping.definition import Mapping, Mappings
from connector.yaml_file import YamlFile


def load_mappings(folder: Path | None = None) -> Mappings:
    """Read and check the mapping files of a folder; by default those of this installation.

    Raises:
        UnreadableFile: A file is no YAML.
        MappingError: A file is wrong; the message names file and line, the remedy what to do.
    """
    files = salesforce_mappings(folder)
    mappings = tuple(_parse(file) for file in files)
    check_together(tuple(zip(files, mappings, strict=True)))
    return Mappings(mappings)


def _parse(file: YamlFile) -> Mapping:
    try:
        mapping = Mapping.model_validate(file.data | {"file": file.path})
        check_alone(mapping)
    except ValidationError as error:
        # A misspelt key is also a missing one: the misspelling is what helps.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        place = tuple(first["loc"])
        raise MappingError(
            file,
            place,
            f"{'.'.join(str(part) for part in place)}: {first['msg']}",
            remedy=_remedy(first),
        ) from error
    except ListedIn as finding:
        raise finding.of(file) from None
    return mapping


def _remedy(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "Remove this key or correct its spelling."
    if error["type"] == "missing":
        return "Add this key."
    return "Correct this value."
