"""Which QEMU a program is, and that it is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.oracle.twin import qemu
from ptlive.oracle.twin.qemu import version_of
from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from pathlib import Path


def program(folder: Path, script: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.qemu
def test_qemu_states_its_version() -> None:
    assert re.match(r"\d+\.\d+\.\d+", version_of(QEMU))


def test_the_version_is_what_is_printed(tmp_path: Path) -> None:
    said = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\\nCopyright"
    found = version_of(program(tmp_path, f'printf "{said}\\n"'))
    assert found == "10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("true", "is no QEMU: it states no version"),
        ("echo 'QEMU emulator version 1.0'; exit 1", "is no QEMU: it states no version"),
        ("echo 'cat (GNU coreutils) 9.1'", "is no QEMU: it states no version"),
        ("printf 'QEMU emulator version \\033[2J'", "is no QEMU: it states no version"),
        ("exec sleep 60", "is no QEMU: it does not end"),
    ],
)
def test_what_is_no_qemu_is_one_sentence(
    tmp_path: Path, script: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "_SECONDS", 0.5)
    with pytest.raises(PtliveError, match=words):
        version_of(program(tmp_path, script))


def test_what_cannot_be_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"cannot run .*nowhere: No such file or directory"):
        version_of(str(tmp_path / "nowhere"))
    with pytest.raises(PtliveError, match=r"cannot run .*: Permission denied"):
        version_of(str(tmp_path))
    with pytest.raises(PtliveError, match=r"cannot run .*"):
        version_of("a\0b")
