"""Files and folders that a command writes where its user said."""

from pathlib import Path

from connector.errors import InvalidInput


class UnwritableFile(InvalidInput):
    """A file or folder cannot be written where it was wanted."""

    code = "file.unwritable"
    remedy = "Name another place, or make its folder and get the right to write there."


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole; what stood there is replaced.

    Raises:
        UnwritableFile: It cannot be written there.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UnwritableFile(f"{path} cannot be written: {error.strerror}.") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        UnwritableFile: It cannot be made there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFile(f"The folder {path} cannot be made: {error.strerror}.") from error
