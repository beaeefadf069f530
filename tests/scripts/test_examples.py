"""The example scripts, run as a user runs them, on real guests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.qemu

EXAMPLES = Path(__file__).parents[2] / "scripts/examples"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_break_on_a_function_and_see_what_it_changed() -> None:
    said = run("break_and_diff.py")
    assert "vCPU 1 is at tables_load\n" in said
    assert re.search(r"^tables_load has returned to start\+", said, re.MULTILINE)
    # guest/menu/tables.c and guest/menu/chapters: the kernel's own code is no longer writable,
    # and pages for user mode are there.
    assert re.search(r"^  ~  0x0+200000  .* rwx- -> r-x- ", said, re.MULTILINE)
    assert re.search(r"^  \+  0x0000008080604000 .* rwxu .*  added", said, re.MULTILINE)
    assert "\nbecame writable and executable: 0x8080600000..0x8080600fff\n" in said


def test_follow_a_page_from_the_fault_to_the_mapping() -> None:
    said = run("follow_page.py")
    va = re.search(r"fault: a write to (0x[0-9a-f]+) by the instruction", said)
    assert va is not None
    assert "the CPU said 0x6, the tables say 0x6\n" in said
    before, mapped, after = re.split(r"the kernel has mapped the page|the instruction was", said)
    assert "is not present" in before
    assert re.search(rf"{int(va[1], 0):#018x} -> 0x[0-9a-f]+ \(4K page, RAM\), rw-u", mapped)
    assert "1 region: added 4K" in mapped
    assert re.search(r"allowed: .*user-write", after)
    assert "direct map" in after  # where the kernel maps the same frame
