"""The recipes of guests that are not Linux, without a boot."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import RECIPES, debian, xen

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stand in for apt: every file is there, gzipped; return what was asked for."""
    packages: list[tuple[str, str]] = []

    def provide(package: str, pattern: str, _progress: object) -> Path:
        packages.append((package, pattern))
        (tmp_path / "file.gz").write_bytes(gzip.compress(b"a kernel"))
        return tmp_path / "file.gz"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "provide", provide)
    return packages


def test_every_recipe_is_listed_by_its_own_name() -> None:
    assert list(RECIPES) == ["menu", "linux", "ovmf", "xen", "memtest"]
    assert all(made.name == name and made.summary for name, made in RECIPES.items())


def test_firmware_is_no_kernel(asked: list[tuple[str, str]]) -> None:
    boot = RECIPES["ovmf"].prepare(lambda _: None)
    assert asked == [("ovmf", "usr/share/ovmf/OVMF.fd")]
    assert boot.kernel is None
    assert boot.firmware


def test_memtest_writes_to_the_serial_port(asked: list[tuple[str, str]]) -> None:
    boot = RECIPES["memtest"].prepare(lambda _: None)
    assert asked == [("memtest86+", "boot/memtest86+x64.bin")]
    assert "console=ttyS0" in boot.append


def test_xen_is_unpacked_once_and_again_when_it_is_newer(asked: list[tuple[str, str]]) -> None:
    boot = RECIPES["xen"].prepare(lambda _: None)
    assert asked == [("xen-hypervisor-4.17-amd64", "boot/xen-4.17-amd64.gz")]
    assert boot.kernel
    assert boot.kernel.read_bytes() == b"a kernel"
    assert boot.initrd == xen.DOMAIN
    boot.kernel.write_bytes(b"an older one")
    os.utime(boot.kernel, (1, 1))
    RECIPES["xen"].prepare(lambda _: None)
    assert boot.kernel.read_bytes() == b"a kernel"


@pytest.mark.parametrize("folder", ["a folder", "a,b"])
def test_xen_says_where_qemu_would_cut_a_path(
    asked: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    assert asked == []
    domain = tmp_path / folder / "domain.elf"
    domain.parent.mkdir()
    domain.write_bytes(b"\x7fELF")
    monkeypatch.setattr(xen, "DOMAIN", domain)
    with pytest.raises(PtliveError, match="Xen cannot be booted: there is a space or comma in"):
        RECIPES["xen"].prepare(lambda _: None)
