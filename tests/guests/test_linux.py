"""How a Linux guest that differs from the usual one is made, without a boot."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import Boot, Recipe, debian, linux, mapper
from ptlive.guests.mapper import parse_order

if TYPE_CHECKING:
    from collections.abc import Sequence

BZIMAGE = bytes(0x1FE) + b"\x55\xaa" + b"\xeb\x66HdrS" + bytes(1000)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for apt; return the packages that were asked for."""
    packages: list[str] = []

    def provide(package: str, _pattern: str, _progress: object) -> Path:
        packages.append(package)
        (tmp_path / package).write_bytes(b"\x7fELF")
        return tmp_path / package

    def provide_all(
        package: str, patterns: Sequence[str], _progress: object, release: str
    ) -> list[Path]:
        packages.append(f"{package}/{release}" if release else package)
        found = [tmp_path / Path(pattern.replace("*", "")).name for pattern in patterns]
        for path in found:
            path.write_bytes(f"content of {path.name}".encode())
        packed = tmp_path / "tun.ko.xz"
        packed.write_bytes(lzma.compress(b"content of tun.ko"))
        return [*found[:-1], packed]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "provide", provide)
    monkeypatch.setattr(debian, "provide_all", provide_all)
    return packages


def prepared(recipe: Recipe) -> Boot:
    return recipe.prepare(lambda _: None)


def test_the_usual_guest_is_as_it_was(asked: list[str]) -> None:
    boot = prepared(linux.RECIPE)
    assert asked == ["linux-image-cloud-amd64", "busybox-static"]
    assert (boot.append, boot.swap) == ("console=ttyS0 quiet panic=-1", 0)
    assert prepared(linux.recipe()) == boot
    assert linux.recipe().memory == linux.RECIPE.memory == 512 << 20


def test_an_order_goes_to_the_guest_on_its_command_line(asked: list[str]) -> None:
    recipe = linux.recipe(order=parse_order("huge1g,swap,scattered=1000000"), append="pti=on x=1")
    boot = prepared(recipe)
    assert boot.append == (
        "console=ttyS0 quiet panic=-1 hugepagesz=1G hugepages=1"
        " ptlive.map=huge1g=1,scattered=1000000,swap=8,park=spin pti=on x=1"
    )
    assert boot.swap == 64 << 20
    assert recipe.memory > 2 << 30
    assert recipe.patience > linux.RECIPE.patience + 100


def test_the_mapper_is_in_the_initramfs(asked: list[str]) -> None:
    boot = prepared(linux.recipe(order=parse_order("thp")))
    assert boot.initrd
    packed = gzip.decompress(boot.initrd.read_bytes())
    assert mapper.ELF.read_bytes() in packed
    assert b"bin/mapper\0" in packed


def test_modules_of_that_kernel_are_in_the_initramfs_unpacked(asked: list[str]) -> None:
    boot = prepared(linux.RECIPE)
    assert boot.initrd
    packed = gzip.decompress(boot.initrd.read_bytes())
    for name in (b"loop.ko", b"dummy.ko", b"tun.ko"):
        assert b"lib/modules/" + name + b"\0" in packed
        assert b"content of " + name in packed


def test_another_release_has_another_kernel(asked: list[str]) -> None:
    prepared(linux.recipe(release="bookworm-backports"))
    assert asked == ["linux-image-cloud-amd64/bookworm-backports", "busybox-static"]


@pytest.mark.parametrize("release", ["../x", "Bookworm", "a b", "-o", "x\n"])
def test_what_is_no_release_is_refused(release: str) -> None:
    with pytest.raises(PtliveError, match="is no release of Debian's") as told:
        linux.recipe(release=release)
    assert str(told.value).isprintable()


def test_by_uefi_the_firmware_is_there_beside_the_kernel(asked: list[str]) -> None:
    boot = prepared(linux.recipe(uefi=True))
    assert asked[-1] == "ovmf"
    assert boot.firmware
    assert boot.kernel
    assert prepared(linux.RECIPE).firmware is None


def test_two_kernels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="give one"):
        linux.recipe(kernel=tmp_path, release="bookworm-backports")


def test_another_kernel_takes_the_place_of_debians(asked: list[str], tmp_path: Path) -> None:
    kernel = tmp_path / "bzImage"
    kernel.write_bytes(BZIMAGE)
    boot = prepared(linux.recipe(kernel=kernel))
    assert boot.kernel == kernel
    assert boot.initrd
    assert asked == ["busybox-static"]


def test_a_kernel_of_this_folder_is_found_by_qemu(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bzImage").write_bytes(BZIMAGE)
    monkeypatch.chdir(tmp_path)
    assert prepared(linux.recipe(kernel=Path("bzImage"))).kernel == tmp_path / "bzImage"


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF" + bytes(2000), BZIMAGE.replace(b"HdrS", b"HdrX"), BZIMAGE[:0x203]]
)
def test_what_is_no_kernel_is_refused(asked: list[str], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(PtliveError, match=r"file is no Linux kernel that can be booted"):
        prepared(linux.recipe(kernel=tmp_path / "file"))


def test_a_kernel_that_cannot_be_read_is_told(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"cannot read the kernel .*: Is a directory"):
        prepared(linux.recipe(kernel=tmp_path))
    with pytest.raises(PtliveError, match=r"cannot read the kernel .*: No such file"):
        prepared(linux.recipe(kernel=tmp_path / "nothing"))


@pytest.mark.parametrize("append", ["a\nb", "\x1b[31m", "naïve", "a\0b"])
def test_what_no_command_line_may_have_is_refused(asked: list[str], append: str) -> None:
    with pytest.raises(PtliveError, match="cannot stand on a kernel's command line") as told:
        prepared(linux.recipe(append=append))
    assert str(told.value).isprintable()


def test_a_command_line_that_linux_would_cut_is_refused(asked: list[str]) -> None:
    room = 2047 - len(prepared(linux.RECIPE).append) - 1
    assert len(prepared(linux.recipe(append="x" * room)).append) == 2047
    with pytest.raises(PtliveError, match="at most 2047 characters, not 2048"):
        prepared(linux.recipe(append="x" * (room + 1)))
