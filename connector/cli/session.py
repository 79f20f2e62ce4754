"""What a command gets to work with: settings and the wired application, made on first use."""

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from connector.bootstrap import App
    from connector.config import Settings


class Session:
    """Opens the application when a command first needs it and closes it when the command ends."""

    def __init__(self, config_file: Path | None) -> None:
        self.config_file = config_file
        self._app: App | None = None

    @cached_property
    def settings(self) -> "Settings":
        """The settings of this command."""
        from connector.config import load_settings

        return load_settings(self.config_file)

    def app(self) -> "App":
        """Return the wired application, opening the store the first time."""
        if self._app is None:
            from connector.bootstrap import App

            self._app = App.open(self.settings)
        return self._app

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._app is not None:
            self._app.close()
            self._app = None
