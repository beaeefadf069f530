"""The doctor, on healthy and on bare computers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ptlive.guests import menu
from ptlive.target import doctor, machine
from ptlive.target.doctor import Check, examine, program_version


def by_name() -> dict[str, Check]:
    return {check.name: check for check in examine()}


@pytest.mark.qemu
def test_all_is_looked_at_quickly() -> None:
    took = []
    for _ in range(3):  # the best of three: the computer has other things to do as well
        began = time.monotonic()
        checks = by_name()
        took.append(time.monotonic() - began)
    assert min(took) < 1
    assert checks["Python"].ok
    assert checks["QEMU"].ok
    assert all(check.text for check in checks.values())
    assert all(check.advice for check in checks.values() if not check.ok)


def test_a_bare_computer_gets_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    checks = by_name()
    assert checks["QEMU"] == Check(
        "QEMU",
        False,
        "qemu-system-x86_64 is missing",
        "install qemu-system-x86; only bundled guests need it, not attaching to others",
    )
    assert checks["gdb"].ok is None
    assert checks["Linux guest"].ok is None
    assert "no apt-get" in checks["Linux guest"].text


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"),
        ("GNU gdb (Debian 13.1-3) 13.1", "13.1"),
        ("GNU gdb (Ubuntu 15.0.50.20240403-0ubuntu1) 15.0.50.20240403-git", "15.0.50.20240403"),
    ],
)
def test_versions_are_read_past_the_distributions_own(
    says: str, version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tool").write_text(f"#!/bin/sh\necho '{says}'\necho 'Copyright 1.2'\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert program_version("tool") == version
    assert program_version("no-such-tool") is None


@pytest.mark.parametrize(
    ("there", "usable", "la57", "text"),
    [
        (False, False, False, "is not there"),
        (True, False, False, "may not be opened"),
        (True, True, False, "for 4 levels"),
        (True, True, True, "for 4 and 5 levels"),
    ],
)
def test_kvm_is_told_as_it_is(
    there: bool, usable: bool, la57: bool, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _: there)
    monkeypatch.setattr(os, "access", lambda *_: usable)
    monkeypatch.setattr(doctor, "host_has_la57", lambda: la57)
    monkeypatch.setattr(doctor, "kvm_paging", lambda: "EPT")
    check = doctor._kvm()
    assert text in check.text
    assert check.ok is (True if usable else None)


@pytest.mark.parametrize(
    ("value", "name"), [("Y", "EPT"), ("N", "shadow paging"), (None, "unknown")]
)
def test_what_stands_behind_kvm_is_named(
    value: str | None, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if value:
        (tmp_path / "sys/module/kvm_intel/parameters").mkdir(parents=True)
        (tmp_path / "sys/module/kvm_intel/parameters/ept").write_text(f"{value}\n")
    monkeypatch.setattr(machine, "Path", lambda path: Path(f"{tmp_path}{path}"))
    assert machine.kvm_paging() == name


def test_a_missing_menu_guest_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(menu, "ELF", tmp_path / "menu.elf")
    monkeypatch.setattr(menu, "_SOURCE", tmp_path / "guest")
    assert doctor._menu().ok is False
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest/Makefile").touch()
    assert doctor._menu().advice == "the first start builds it"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._menu().advice == "install gcc, ld, make; scripts/setup does it"


def test_what_ended_guests_left_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "ptlive/menu").mkdir(parents=True)
    (tmp_path / "ptlive/menu/guest.json").write_text("{}")
    assert doctor._guests().text.startswith("none; removed what was left of menu;")
    assert doctor._guests().text.startswith("none; state in")


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 900000 kB\nMemAvailable:  102400 kB\n")
    monkeypatch.setattr(doctor, "Path", lambda _: tmp_path / "meminfo")
    check = doctor._memory()
    assert check.ok is None
    assert check.text == "100 MB available"
