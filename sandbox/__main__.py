"""Starts the local org: `python -m l2c_sandbox`."""

import argparse
import gc
import importlib.util
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from .errors import SetupError
from .limits import DEFAULT_PROFILE, PROFILES
from .org import Org, OrgSettings
from .server import SandboxServer

BAD_SETUP = 2
LAST_PORT = 65_535
COLLECT_EVERY = 50_000  # objects made and not freed


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number from 0 to {LAST_PORT}")
    return int(text)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="l2c sandbox", description="A local, Salesforce-compatible org for tests and demos."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=0, help="HTTP port; 0 picks a free one")
    parser.add_argument("--tls", action="store_true", help="serve HTTPS as well")
    parser.add_argument("--tls-port", type=_port, default=0, help="HTTPS port; 0 picks a free one")
    parser.add_argument(
        "--grpc-port", type=_port, help="serve the Pub/Sub API on this port; 0 picks a free one"
    )
    parser.add_argument("--data", type=Path, help="SQLite file to keep records in")
    parser.add_argument("--seed", type=Path, help="YAML or JSON file of first records")
    parser.add_argument("--schema", type=Path, help="SFDX source folder of custom objects")
    parser.add_argument(
        "--clock",
        choices=("real", "manual"),
        default="real",
        help="manual: time stands still until POST /__sandbox__/clock moves it",
    )
    parser.add_argument(
        "--profile",
        choices=tuple(PROFILES),
        default=DEFAULT_PROFILE,
        help="edition whose allowances hold",
    )
    parser.add_argument(
        "--multi-currency", action="store_true", help="give every record a currency of its own"
    )
    parser.add_argument(
        "--no-person-accounts", action="store_true", help="let no account be a person"
    )
    parser.add_argument(
        "--soap-login", action="store_true", help="accept SOAP login() (API up to 64.0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of text")
    parser.add_argument(
        "--exit-with-stdin", action="store_true", help="end when standard input closes"
    )
    return parser.parse_args(argv)


def default_schema() -> Path | None:
    """Return the checkout's `salesforce/`, else the installed package of it, else None."""
    beside = Path(__file__).resolve().parent.parent / "salesforce"
    if beside.is_dir():
        return beside
    found = importlib.util.find_spec("l2c_salesforce")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    return Path(places[0]) if places else None


def _say(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts), flush=True)  # noqa: T201
        return
    first, last = facts["api_versions"]
    lines = [
        f"Base URL      {facts['base_url']}",
        f"HTTPS         {facts['https_url'] or 'off (--tls)'}",
        f"CA file       {facts['ca_file'] or '-'}",
        f"Pub/Sub       {facts['pubsub_address'] or 'off (--grpc-port N)'}",
        f"Client        {facts['client_id']} / {facts['client_secret']}",
        f"User          {facts['username']} / {facts['password']}",
        f"API versions  {first} to {last}",
        f"Organization  {facts['organization_id']}",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201


def _end_with_parent(stop: threading.Event) -> None:
    """End when standard input closes, as it does when the starter dies.

    Linux could signal the death of the parent too, but of the starting thread, not the process.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 65_536):
            continue
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str] | None = None) -> int:
    """Run the local org until it is told to stop; return the exit code."""
    options = _arguments(argv)
    schema = options.schema if options.schema is not None else default_schema()
    if options.schema is not None and not options.schema.is_dir():
        print(f"--schema {options.schema}: no such folder", file=sys.stderr)  # noqa: T201
        return BAD_SETUP
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        org = Org(
            OrgSettings(
                schema=schema,
                data=options.data,
                seed=options.seed,
                profile=options.profile,
                manual_clock=options.clock == "manual",
                soap_login=options.soap_login,
                multi_currency=options.multi_currency,
                person_accounts=not options.no_person_accounts,
            )
        )
        server = SandboxServer(
            org,
            host=options.host,
            port=options.port,
            tls=options.tls,
            tls_port=options.tls_port,
            grpc_port=options.grpc_port,
        )
    except (SetupError, OSError) as error:
        print(f"the local org cannot start: {error}", file=sys.stderr)  # noqa: T201
        return BAD_SETUP
    # What lives as long as the process need not be looked through by every later collection, and
    # a call of two hundred records makes thousands of objects, hardly ever a cycle.
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
    server.start()
    try:
        if options.exit_with_stdin:
            _end_with_parent(stop)
        _say(server.facts(), as_json=options.json)
        stop.wait()
    except BrokenPipeError:
        # The starter died before it could read where the org is; nobody will read on at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        server.close()  # its threads would keep the process, and the data file, for ever
    return 0


if __name__ == "__main__":
    sys.exit(main())
