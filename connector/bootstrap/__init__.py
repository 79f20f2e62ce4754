"""The composition root: settings in, wired application out.

Here, and only here, contexts, flows, sync and adapters are put together. Interfaces (command line,
web, jobs) take an `App` and call its use-cases; a use-case reads the business clock once and passes
it on as `now`.
"""

from connector.bootstrap.app import App
from connector.bootstrap.database import DATABASE, ensure_database

__all__ = ["DATABASE", "App", "ensure_database"]
