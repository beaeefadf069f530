"""Packages fetched by a stand-in for apt, which serves a real .deb built here."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import debian, linux

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KERNEL = "linux-image-6.1.0-99-cloud-amd64"

# Serves $APT_ROOT/*.deb, notes each call, and fails in the way that $APT_ROOT/fails says.
APT = r"""#!/bin/sh
echo "$0 $*" >> "$APT_ROOT/calls"
for package; do :; done
case "$0 $*" in
*apt-cache*show*linux-image-cloud-amd64)
    [ -e "$APT_ROOT/no-lists" ] && { echo "E: No packages found" >&2; exit 100; }
    echo "Package: $package"; echo "Depends: linux-image-6.1.0-99-cloud-amd64 (= 6.1)" ;;
*apt-cache*show*) echo "Package: $package"; echo "Size: 1500000" ;;
*apt-get*download*)
    [ -e "$APT_ROOT/fails" ] && { cat "$APT_ROOT/fails" >&2; exit 100; }
    cp "$APT_ROOT/$package"_*.deb . ;;
esac
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for apt in front, and an empty cache behind; return apt's folder."""
    programs, root = tmp_path / "bin", tmp_path / "apt"
    programs.mkdir()
    tree = root / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot/vmlinuz-6.1.0-99-cloud-amd64").write_bytes(b"a kernel" * 1000)
    (tree / "boot/config-6.1.0-99-cloud-amd64").write_text("CONFIG_X86_5LEVEL=y\n")
    (tree / "DEBIAN").mkdir()
    control = (
        f"Package: {KERNEL}\nVersion: 6.1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
    )
    (tree / "DEBIAN/control").write_text(control)
    built = root / f"{KERNEL}_6.1_amd64.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(built)], check=True, capture_output=True)
    for name in ("apt-get", "apt-cache"):
        (programs / name).write_text(APT)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("APT_ROOT", str(root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


def provide(progress: Callable[[str], None] = lambda _: None) -> Path:
    return debian.provide("linux-image-cloud-amd64", "boot/vmlinuz-*", progress)


def test_the_kernel_behind_the_meta_package_is_fetched_once(apt: Path) -> None:
    told: list[str] = []
    kernel = provide(told.append)
    assert kernel.name == "vmlinuz-6.1.0-99-cloud-amd64"
    assert kernel.read_bytes() == b"a kernel" * 1000
    assert told == [f"downloading {KERNEL}, 1.5 MB"]
    calls = (apt / "calls").read_text()
    assert provide(told.append) == kernel
    assert linux.cached() == kernel
    assert (apt / "calls").read_text() == calls  # from the cache, apt is not asked
    assert len(told) == 1


def test_only_what_is_needed_stays(apt: Path) -> None:
    assert apt.exists()
    provide()
    kept = [path.name for path in debian.cache_folder().rglob("*") if path.is_file()]
    assert sorted(kept) == ["lock", "vmlinuz-6.1.0-99-cloud-amd64"]


def test_missing_lists_are_told_with_their_remedy(apt: Path) -> None:
    (apt / "no-lists").touch()
    with pytest.raises(PtliveError, match=r"apt knows no package .*apt-get update"):
        provide()


def test_the_reason_of_a_failed_download_is_apts_own(apt: Path) -> None:
    (apt / "fails").write_text("W: x\nE: Failed to fetch http://x/y.deb  404  Not Found\n")
    with pytest.raises(PtliveError, match=r"404  Not Found\. If its lists are old.*apt-get update"):
        provide()
    (apt / "fails").unlink()
    assert provide().exists()


def test_a_package_without_the_file_is_named(apt: Path) -> None:
    assert apt.exists()
    with pytest.raises(PtliveError, match=r"holds no bin/busybox"):
        debian.provide("linux-image-cloud-amd64", "bin/busybox", lambda _: None)


def test_a_damaged_package_is_named(apt: Path) -> None:
    package = apt / f"{KERNEL}_6.1_amd64.deb"
    package.write_bytes(package.read_bytes()[:-100])
    with pytest.raises(PtliveError, match=f"{KERNEL}_6.1_amd64.deb arrived damaged"):
        provide()
    assert not list((debian.cache_folder() / "downloads").iterdir())


def test_without_apt_it_says_what_this_guest_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PtliveError, match=r"apt-get is missing.*Debian"):
        provide()


def test_a_cache_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(PtliveError, match=r"cannot keep downloads in .*Not a directory"):
        debian.cache_folder()


def test_two_at_once_download_once(apt: Path) -> None:
    code = (
        "from ptlive.guests import debian; "
        "debian.provide('linux-image-cloud-amd64', 'boot/vmlinuz-*', print)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait(30) for one in both] == [0, 0]
    assert (apt / "calls").read_text().count("apt-get") == 1


def test_the_guest_keeps_its_address_randomisation(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert apt.exists()
    asked: list[str] = []

    def stand_in(package: str, _pattern: str, _progress: object) -> Path:
        asked.append(package)
        return apt / "tree/boot/vmlinuz-6.1.0-99-cloud-amd64"

    monkeypatch.setattr(debian, "provide", stand_in)
    boot = linux.RECIPE.prepare(lambda _: None)
    assert asked == ["linux-image-cloud-amd64", "busybox-static"]
    assert "nokaslr" not in boot.append
    assert "console=ttyS0" in boot.append
    assert boot.initrd
    assert boot.initrd.exists()
