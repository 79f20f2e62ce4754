"""Two operating-system users tell the story on one machine at the same time."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.outside import look
from tests.e2e.teller import TIMEOUT_S, command

CALLS = 500


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as somebody else")
def test_root_and_an_ordinary_user_do_not_meet() -> None:
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
            root_out, root_err = by_root.communicate(timeout=TIMEOUT_S)
            their_out, their_err = by_somebody.communicate(timeout=TIMEOUT_S)

        assert by_root.returncode == 0, root_err[-4000:]
        assert by_somebody.returncode == 0, their_err[-4000:]
        root_summary, their_summary = (json.loads(out) for out in (root_out, their_out))
        for summary in (root_summary, their_summary):
            del summary["seconds"], summary["api_calls"]
        assert root_summary == their_summary
        assert look(roots).disagreements == []
    finally:
        shutil.rmtree(roots, ignore_errors=True)
        shutil.rmtree(theirs, ignore_errors=True)


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=str(Path(sys.prefix).parent),
    )
