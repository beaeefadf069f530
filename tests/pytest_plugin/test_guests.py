"""Guests that the plugin boots, in suites of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.target import launch, running
from tests.guests.boot_sector import EXIT, TRIPLE_FAULT, says

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Suite = Callable[..., pytest.RunResult]

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.qemu

KERNEL = """
import pytest
from ptlive import PtliveError
from ptlive.pytest_plugin import assert_mapped, assert_not_mapped, assert_unchanged

CODE = 0x400000

def test_one_guest_serves_all_who_ask_alike(ptlive_boot, ptlive_guest):
    assert ptlive_boot() is ptlive_guest
    assert ptlive_boot(ready="tinyos: up", append="") is not ptlive_guest
    assert ptlive_guest.alive
    assert ptlive_guest.serial.replace("\\r", "").endswith("tinyos: up\\n")
    assert ptlive_guest.wait_for(r"tinyos: (\\w+)$")[1] == "booting"

@pytest.mark.ptlive(append="other words", memory="64M")
class TestMarked:
    @pytest.mark.ptlive(memory="128M")
    def test_the_nearest_marker_has_the_last_word(self, ptlive_guest):
        with ptlive_guest.attach() as held, ptlive_guest.attach() as again:
            assert held is again
            assert held.ram_map.ram_bytes >> 20 in range(128, 150)

def test_the_space_is_that_of_the_guest_which_runs_on(ptlive_guest, ptlive_space):
    assert_mapped(ptlive_space, ptlive_guest.symbol("kernel_main"), rights="r-x-")
    with pytest.raises(PtliveError, match="own is held: run it outside of its `with` block"):
        ptlive_guest.run_to("process_gone")
    with pytest.raises(PtliveError, match="has no symbol 'nowhere'"):
        ptlive_guest.symbol("nowhere")

def test_a_guest_runs_from_place_to_place(ptlive_boot):
    with ptlive_boot(ready="at:process_made", fresh=True) as guest:
        with guest.attach() as held:
            assert_mapped(held.space(), CODE, rights="r-xu")
        guest.run_to("process_gone")
        with guest.attach() as held:
            assert_not_mapped(held.space(), CODE)
        assert "up" not in guest.serial
        guest.resume()
        guest.wait_for("tinyos: up")
        with pytest.raises(PtliveError, match=r"it did not come to panic within 0.5 s; last words"):
            guest.run_to("panic", seconds=0.5)
    assert not guest.alive
    assert "tinyos: up" in guest.serial
"""


def test_a_kernel_is_booted_asked_and_run(suite: Suite, tinyos: Path) -> None:
    ini = f"ptlive_kernel = {tinyos}/build/kernel.elf\nptlive_ready = tinyos: up"
    done = suite(KERNEL, ini=ini)
    done.assert_outcomes(passed=4)


ENDS = """
import pytest
from ptlive import PtliveError

def test_exit(ptlive_guest):
    assert ptlive_guest.wait_end() == 0x10
    assert ptlive_guest.exit_code == 0x21
    with pytest.raises(PtliveError, match="there is no own to ask: 0x10 was written to isa-debug"):
        ptlive_guest.attach().__enter__()

def test_that_one_has_ended_and_this_is_another(ptlive_guest, ptlive_boot):
    assert "done" in ptlive_guest.wait_for("done")[0]

def test_dead(ptlive_boot):
    ptlive_boot(disks=["dies"], ready="never")

def test_space(ptlive_space):
    pass
"""


def test_how_guests_end_is_told(suite: Suite, pytester: pytest.Pytester) -> None:
    (pytester.path / "exits").write_bytes(says("done\n", EXIT))
    (pytester.path / "dies").write_bytes(says("one\n\x1b[2Jtwo\n", TRIPLE_FAULT))
    ini = "ptlive_disks = exits\nptlive_ready = done\nptlive_debug_exit = 0xf4"
    done = suite(ENDS, ini=ini)
    done.assert_outcomes(passed=2, failed=1, errors=1)
    done.stdout.fnmatch_lines(
        [
            "ptlive: guest own* ended while booting: a triple fault; last words: one | two",
            "*ptlive: own* on port 0xe9*",
            "one",
            r"\x1b[[]2Jtwo",
        ]
    )
    done.stdout.fnmatch_lines(["ptlive: there is no own* to ask: 0x10 was written to isa-debug-*"])
    done.stdout.no_fnmatch_line("*During handling*")


FAILS = """
def test_it(ptlive_guest):
    assert ptlive_guest.debug == "something else"
"""


def test_what_a_guest_wrote_is_told_with_a_failure_and_it_may_be_kept(
    suite: Suite, pytester: pytest.Pytester
) -> None:
    (pytester.path / "disk").write_bytes(says("one\ntwo\n"))
    done = suite(FAILS, "--ptlive-keep", ini="ptlive_disks = disk\nptlive_ready = two")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*- ptlive: own on port 0xe9 -*", "*one", "two"])
    done.stdout.fnmatch_lines(["*- ptlive: own -*", "it is left running: ptlive map --guest own"])
    (kept,) = running.guests()
    launch.stop(kept)


def test_workers_have_guests_of_their_own(suite: Suite, pytester: pytest.Pytester) -> None:
    (pytester.path / "disk").write_bytes(says("up\n"))
    source = "import pytest\n@pytest.mark.parametrize('n', range(4))\n"
    source += "def test_it(n, ptlive_guest): assert ptlive_guest.alive"
    done = suite(source, "-n2", ini="ptlive_disks = disk\nptlive_ready = up")
    done.assert_outcomes(passed=4)
