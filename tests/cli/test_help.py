"""Help as a person sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


@pytest.mark.parametrize("command", [("verify",), ("guest", "start")])
def test_lists_in_help_stand_as_they_were_written(
    ptlive: Callable[..., Done], command: tuple[str, ...]
) -> None:
    out = ptlive(*command, "--help").out
    assert "\\b" not in out
    assert "\b" not in out
    listed = {"verify": "  debug-walker  QEMU's", "guest": "  linux    Debian's"}[command[0]]
    assert any(line.startswith(listed) for line in out.splitlines())


def test_shared_options_stand_under_headings_and_help_in_one_column(
    ptlive: Callable[..., Done],
) -> None:
    out = ptlive("map", "--help").out
    headings = [line for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [
        "Options:",
        "Which pages:",
        "The system:",
        "The guest:",
        "The address space:",
        "Output:",
    ]
    own = out.partition("Options:")[2].partition("Which pages:")[0]
    assert "--split" in own
    assert "--help" in own
    assert "--guest" not in own
    assert "LAST_VA" not in own  # an argument is no option
    # Where help begins, of options whose names leave room for it.
    columns = {
        found.end() for line in out.splitlines() if (found := re.match(r" +-[^ ].*?  +\b", line))
    }
    assert columns == {32}


def test_the_commands_are_listed_by_what_they_are_for(ptlive: Callable[..., Done]) -> None:
    lines = ptlive("--help").out.splitlines()
    assert "What is mapped:" in lines
    listed = [line.split()[0] for line in lines if line.startswith("  ") and "  " in line[3:]]
    names = [name for name in listed if not name.startswith("-")]
    assert names.index("translate") < names.index("verify") < names.index("snapshot")
    for name in names:
        assert name in ptlive(name, "--help").out.splitlines()[0]


def test_no_help_waits_for_what_only_the_work_needs() -> None:
    program = (
        "import sys, click\n"
        "from ptlive.cli.main import cli\n"
        "context = click.Context(cli)\n"
        "for name in cli.list_commands(context):\n"
        "    cli.get_command(context, name)\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    late = {"pyarrow", "zstandard", "elftools", "numba", "rich.progress", "pygdbmi", "qemu.qmp"}
    assert late & set(done.stdout.split()) == set()
