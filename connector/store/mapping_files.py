"""Where the Salesforce mapping files are, and how a mistake in one is told."""

from pathlib import Path

from connector.errors import Misconfigured
from connector.resources import mappings_dir
from connector.yaml_file import Location, YamlFile, read_yaml


class MappingError(Misconfigured):
    """A mapping file cannot be used as it is written."""

    code = "mapping.invalid"

    def __init__(self, file: YamlFile, place: Location, message: str, *, remedy: str) -> None:
        line = file.line_of(place)
        super().__init__(f"{file.path}, line {line}: {message}.", remedy=remedy)
        self.file = file.path
        self.line = line


def salesforce_mappings(folder: Path | None = None) -> tuple[YamlFile, ...]:
    """Read the mapping files of a folder, in the order of their names.

    Args:
        folder: The files' own folder or the one with `salesforce/` in it; those of this
            installation when None.

    Raises:
        Misconfigured: There is none, or one is no YAML or no table of keys and values.
    """
    root = folder or mappings_dir()
    place = root / "salesforce" if (root / "salesforce").is_dir() else root
    files = tuple(read_yaml(path) for path in sorted(place.glob("*.yaml")))
    if not files:
        raise Misconfigured(
            f"There is no mapping file in {place}.",
            remedy="Put files such as account.yaml there. `sync.mappings_dir` names the folder "
            "above it: a copy of `mappings`, with `salesforce`, `policies` and all the others.",
        )
    for file in files:
        if not isinstance(file.data, dict):
            raise MappingError(
                file,
                (),
                "a mapping file is a table of keys and values",
                remedy="Begin the file with `entity: <name>`.",
            )
    return files
