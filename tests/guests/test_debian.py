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
*apt-get*update*)
    [ -e "$APT_ROOT/no-release" ] && { cat "$APT_ROOT/no-release" >&2; exit 100; }
    exit 0 ;;
*apt-get*indextargets*) cat "$APT_ROOT/sources" 2>/dev/null ;;
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
    modules = tree / "lib/modules/6.1.0-99-cloud-amd64/kernel"
    for name in ("drivers/block/loop.ko", "drivers/net/dummy.ko", "drivers/net/tun.ko"):
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_bytes(name.encode())
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

    def stand_in_for_all(package: str, patterns: object, progress: object, _: str) -> list[Path]:
        return [stand_in(package, str(patterns), progress)]

    monkeypatch.setattr(debian, "provide", stand_in)
    monkeypatch.setattr(debian, "provide_all", stand_in_for_all)
    boot = linux.RECIPE.prepare(lambda _: None)
    assert asked == ["linux-image-cloud-amd64", "busybox-static"]
    assert "nokaslr" not in boot.append
    assert "console=ttyS0" in boot.append
    assert boot.initrd
    assert boot.initrd.exists()


ALL = ("boot/vmlinuz-*", "lib/modules/*/kernel/drivers/net/tun.ko*")
BACKPORTS = "bookworm-backports"


def provide_all(release: str, progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    return debian.provide_all("linux-image-cloud-amd64", ALL, progress, release)


def test_several_files_of_a_package_are_fetched_at_once(apt: Path) -> None:
    kernel, module = provide_all("")
    assert module.read_bytes() == b"drivers/net/tun.ko"
    assert kernel.parents[1] == module.parents[6]
    assert provide_all("") == [kernel, module]
    assert (apt / "calls").read_text().count("download") == 1


def test_what_a_cache_lacks_is_fetched_and_what_was_older_goes(apt: Path) -> None:
    assert apt.exists()
    kernel = provide()
    older = kernel.with_name("vmlinuz-6.1.0-11-cloud-amd64")
    older.write_bytes(b"an older kernel")
    assert provide_all("")[0] == kernel
    assert not older.exists()


def test_another_release_has_lists_of_its_own(apt: Path) -> None:
    (apt / "sources").write_text(
        "Google x http://g/\nDebian bookworm-security http://s/\nDebian bookworm http://m/debian/\n"
    )
    told: list[str] = []
    kernel, _ = provide_all(BACKPORTS, told.append)
    assert told[0] == "fetching the package lists of Debian bookworm-backports"
    own = debian.cache_folder() / "apt" / BACKPORTS
    assert kernel.is_relative_to(debian.cache_folder() / BACKPORTS)
    assert (own / "sources.list").read_text() == (
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        " http://m/debian/ bookworm-backports main\n"
    )
    calls = [line for line in (apt / "calls").read_text().split("\n") if line]
    for call in calls:
        if "indextargets" not in call:
            assert f"Dir::State::Lists={own}/lists" in call
            assert "Dir::Etc::SourceParts=/dev/null" in call
            assert f"Dir::Etc::SourceList={own}/sources.list" in call
    assert provide_all(BACKPORTS) == provide_all(BACKPORTS)
    assert (apt / "calls").read_text().split("\n")[:-1] == calls  # from the cache
    assert linux.cached(BACKPORTS) == kernel
    assert linux.cached() is None


def test_where_the_system_names_no_mirror_it_is_debians(apt: Path) -> None:
    provide_all(BACKPORTS)
    source = (debian.cache_folder() / "apt" / BACKPORTS / "sources.list").read_text()
    assert apt.exists()
    assert "] http://deb.debian.org/debian/ bookworm-backports main" in source


def test_a_release_that_cannot_be_fetched_is_told_in_a_sentence(apt: Path) -> None:
    (apt / "no-release").write_text(
        "W: x\nE: The repository 'http://m/debian none Release' does not have a Release file.\n"
    )
    with pytest.raises(PtliveError) as told:
        provide_all("none")
    assert str(told.value) == (
        "apt could not fetch the lists of Debian none: "
        "The repository 'http://m/debian none Release' does not have a Release file"
    )


def test_without_the_keyring_no_list_is_believed(
    apt: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ptlive.guests.apt.KEYRING", tmp_path / "none.gpg")
    with pytest.raises(PtliveError, match=r"none.gpg is missing.*debian-archive-keyring"):
        provide_all(BACKPORTS)
    assert not (apt / "calls").exists()
