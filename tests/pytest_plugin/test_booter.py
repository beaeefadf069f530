"""What is told of a guest with a failure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ptlive.pytest_plugin.booter import _check_host, _logs
from ptlive.pytest_plugin.guest import BootedGuest
from ptlive.target.machine import Machine
from tests.target.test_prompt import a_guest

if TYPE_CHECKING:
    from pathlib import Path


def test_of_a_long_log_the_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "serial.log").write_text("".join(f"line {n}\r\n" for n in range(2000)))
    guest = BootedGuest(replace(a_guest(tmp_path), folder=str(tmp_path)))
    ((title, text),) = _logs(guest)
    assert title == "ptlive: linux on COM1"
    lines = text.split("\n")
    assert (len(lines), lines[0], lines[-1]) == (41, "... 1,960 lines before", "line 1999")


def test_who_wrote_nothing_is_not_told_of(tmp_path: Path) -> None:
    guest = BootedGuest(replace(a_guest(tmp_path), folder=str(tmp_path)))
    assert list(_logs(guest)) == []
    (tmp_path / "debugcon.log").write_text("no end of line \x1b[2J")
    assert list(_logs(guest)) == [("ptlive: linux on port 0xe9", "no end of line \\x1b[2J")]


def test_without_kvm_a_test_that_wants_it_is_skipped_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("shutil.which", lambda _: "/qemu")
    monkeypatch.delenv("CI", raising=False)
    _check_host(Machine())
    with pytest.raises(pytest.skip.Exception, match=r"ptlive: no KVM here: /dev/kvm .*; use TCG"):
        _check_host(Machine(accel="kvm", levels=4))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"no KVM here: .*that is no skip"):
        _check_host(Machine(accel="kvm", levels=4))
