"""The plugin in suites of their own, run by a child: settings, skips, failures. No guest boots."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Suite = Callable[..., pytest.RunResult]

pytest_plugins = ["pytester"]


ASKS = "def test_it(ptlive_guest): pass"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one folder, with Python and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_whoever_does_not_use_it_pays_nothing() -> None:
    code = "import sys, ptlive.pytest_plugin; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("ptlive.")}
    assert rooms == {"errors", "pytest_plugin", "target"}
    # Of the launcher only the words that it understands.
    assert [name for name in loaded if name.startswith("ptlive.target.")] == ["ptlive.target.how"]
    assert not {"numpy", "click", "rich", "elftools", "qemu"} & set(loaded)


def test_a_suite_that_does_not_use_it_runs_as_before(suite: Suite) -> None:
    done = suite("def test_it(): assert [1] == [1]", "-n2", "-p", "xdist")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*ptlive*warning*")


def test_its_words_are_told(suite: Suite) -> None:
    done = suite(ASKS, "--markers")
    done.stdout.fnmatch_lines(["@pytest.mark.ptlive(kernel=..., ready=..., ...): what the *"])
    done = suite(ASKS, "--help")
    done.stdout.fnmatch_lines(["*--ptlive-kernel=FILE*", "*--ptlive-accel=tcg|kvm*"])
    done.stdout.fnmatch_lines(["*ptlive_kernel (string):*", "*ptlive_disks (linelist):*"])
    done = suite(ASKS, "--fixtures")
    done.stdout.fnmatch_lines(
        ["ptlive_boot [[]session scope[]]*", "ptlive_guest*", "ptlive_space*"]
    )


MISUSES = """
import pytest

def test_file(ptlive_boot): ptlive_boot(kernel="k.elf")
def test_word(ptlive_boot): ptlive_boot(ready="[")
def test_size(ptlive_boot): ptlive_boot(memory="1T")
def test_levels(ptlive_boot): ptlive_boot(levels=3)
def test_nothing(ptlive_boot): ptlive_boot(bios=None)
@pytest.mark.ptlive("kernel.elf")
def test_place(ptlive_guest): pass
@pytest.mark.ptlive(kernal="k")
def test_name(ptlive_space): pass
"""


def test_what_cannot_be_booted_is_told_in_a_sentence(suite: Suite) -> None:
    done = suite(MISUSES, ini="ptlive_bios = /dev/null")
    done.assert_outcomes(failed=5, errors=2)
    done.stdout.fnmatch_lines_random(
        [
            "ptlive: cannot read the kernel */k.elf: No such file or directory",
            "ptlive: '[[]' is no regular expression: unterminated character set at position 0",
            "ptlive: '1T' is no size: give 512M or 2G",
            "ptlive: x86-64 pages with 4 or 5 levels, not 3",
            "ptlive: what is to be booted is not known: say ptlive_kernel = FILE in the *",
            "ptlive: the marker takes names: @pytest.mark.ptlive(kernel=...)",
            "ptlive: 'kernal' is none of kernel, initrd, append, disks,*",
        ]
    )
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*During handling*")


def test_an_error_of_ours_ends_where_the_test_has_called(suite: Suite) -> None:
    asks = "import ptlive\ndef test_it():\n    with ptlive.open('no.pts'): pass\n"
    done = suite(asks)
    done.stdout.fnmatch_lines([">*with ptlive.open*", "E*PtliveError: cannot read no.pts: *"])
    done.stdout.no_fnmatch_line("*raise PtliveError*")
    suite(asks, "--full-trace").stdout.fnmatch_lines([">*raise PtliveError*"])


def test_the_command_line_has_the_last_word(suite: Suite) -> None:
    done = suite(ASKS, "--ptlive-kernel=other", ini="ptlive_kernel = k.elf")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["ptlive: cannot read the kernel */other: No such file or *"])


def test_a_number_in_the_ini_file_is_one(suite: Suite) -> None:
    done = suite(ASKS, ini="ptlive_bios = /dev/null\nptlive_cpus = two")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["ptlive: ptlive_cpus = 'two' is no number"])


def test_without_qemu_it_is_skipped_and_fails_in_ci(
    suite: Suite, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert path
    done = suite(ASKS, "-rs", ini="ptlive_bios = /dev/null")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines([f"SKIPPED*ptlive: {QEMU} is missing: install the package*"])
    monkeypatch.setenv("CI", "1")
    done = suite(ASKS, ini="ptlive_bios = /dev/null")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([f"ptlive: {QEMU} is missing*(with CI in the environment *"])


def test_an_equality_of_regions_is_explained(suite: Suite) -> None:
    row = "Region(va=0x1000 * n, last_va=0x1000 * n + 0xfff, size=4096, pa=0, contiguous=True, "
    row += "pages={4096: 1}, rights='r---', attributes={}, target='RAM')"
    done = suite(
        f"from ptlive import Region\n"
        f"def test_it():\n"
        f"    some = [{row} for n in range(3)]\n"
        f"    assert some == some[:2]\n"
        f"def test_other():\n"
        f"    assert [1] == [2]\n"
    )
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        [
            "E*regions == regions",
            "E*- expected, and not there; + there, and not expected",
            "E*start*last*size*pages*rights*",
            "E*+  0x0000000000002000  0x0000000000002fff    4K *",
        ]
    )
