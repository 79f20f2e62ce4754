"""Two operating-system users tell the story on one machine at the same time."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.outside import look
from tests.e2e.teller import TIMEOUT_S, command

CALLS = 500
WON = "Won in the CRM"  # a chapter: store, org, catalogue and customers are there


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start a program as somebody else"
)


@dataclass(frozen=True)
class Tellers:
    """The story told by root and by an ordinary user, at the same time."""

    by_root: subprocess.Popen[str]
    by_somebody: subprocess.Popen[str]
    roots: Path  # where root's is kept


@pytest.fixture
def tellers() -> Iterator[Tellers]:
    somebody = pwd.getpwnam("nobody")
    # Reading the interpreter's files is all that this capability gives: a checkout or a Python in
    # root's home is not readable otherwise, and the test is about two users, not about that.
    as_somebody = [
        "setpriv",
        f"--reuid={somebody.pw_uid}",
        f"--regid={somebody.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    ]
    roots, theirs = (Path(tempfile.mkdtemp(prefix=f"l2c-{who}-")) for who in ("root", "theirs"))
    os.chown(theirs, somebody.pw_uid, somebody.pw_gid)
    try:
        environment = {**os.environ, "HOME": str(theirs), "PYTHONDONTWRITEBYTECODE": "1"}
        with (
            _start(command(roots, calls=CALLS), dict(os.environ)) as by_root,
            _start([*as_somebody, *command(theirs, calls=CALLS)], environment) as by_somebody,
        ):
            yield Tellers(by_root, by_somebody, roots)
    finally:
        shutil.rmtree(roots, ignore_errors=True)
        shutil.rmtree(theirs, ignore_errors=True)


def test_root_and_an_ordinary_user_begin_at_once_and_do_not_meet(tellers: Tellers) -> None:
    said = [_read_to(one, WON) for one in (tellers.by_root, tellers.by_somebody)]

    assert "    Ann Lee (person)" in said[0]
    assert said[0] == said[1]
    assert _end(tellers.by_root) == _end(tellers.by_somebody) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_root_and_an_ordinary_user_come_to_the_same_end(tellers: Tellers) -> None:
    root_out, root_err = tellers.by_root.communicate(timeout=TIMEOUT_S)
    their_out, their_err = tellers.by_somebody.communicate(timeout=TIMEOUT_S)

    assert tellers.by_root.returncode == 0, root_err[-4000:]
    assert tellers.by_somebody.returncode == 0, their_err[-4000:]
    root_summary, their_summary = (json.loads(out) for out in (root_out, their_out))
    for summary in (root_summary, their_summary):
        del summary["seconds"], summary["api_calls"]
    assert root_summary == their_summary
    assert look(tellers.roots).disagreements == []


def _read_to(teller: subprocess.Popen[str], chapter: str) -> list[str]:
    """Read what is told up to a chapter; return its lines without those before the story."""
    assert teller.stderr is not None
    told: list[str] = []
    for line in teller.stderr:
        if chapter in line:
            return [one for one in told if one.startswith("    ")]
        told.append(line.rstrip())
    raise AssertionError("\n".join(told)[-4000:])


def _end(teller: subprocess.Popen[str]) -> int:
    teller.terminate()
    teller.communicate(timeout=TIMEOUT_S)
    return teller.returncode


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=str(Path(sys.prefix).parent),
    )
