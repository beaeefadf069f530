"""The Linux guest: Debian's packaged cloud kernel with busybox in an initramfs.

Nothing is installed: apt downloads the two packages, of the system's own release or of a
newer one, and what is needed of them is unpacked into the user's cache, once. In the
initramfs is also our `mapper` (guest/linux/), which makes an address space to order.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.files import write_whole
from ptlive.guests import apt, debian, initramfs, mapper, ovmf
from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.guests.mapper import Order

# It mounts what an explorer of memory wants to see, has the mapper make an address
# space if one was ordered, says that it is up, and gives a prompt.
_INIT = b"""\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='guest# '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
for module in /lib/modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
echo 0 > /proc/sys/kernel/kptr_restrict
for word in $(cat /proc/cmdline); do
    case $word in ptlive.map=*) mapper "${word#ptlive.map=}" ;; esac
done
levels=4
grep -qw la57 /proc/cpuinfo && levels=5
echo "linux: levels=$levels release=$(uname -r)"
while :; do setsid -c sh < /dev/ttyS0 > /dev/ttyS0 2>&1; done
"""

_MARK = b"a guest of ptlive\n"

# The guest keeps its address randomisation: an analyzer has to cope with it.
# panic=-1 makes a crash a reboot, which -no-reboot makes the end of QEMU.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1"
# COMMAND_LINE_SIZE (arch/x86/include/asm/setup.h), with the final zero.
_LONGEST_COMMAND_LINE = 2047


# QEMU before 8.0: gen_cmpxchg16b (target/i386/tcg/translate.c) calls a helper that computes all
# flags, without having stored which operation they come from, and RFLAGS becomes nonsense until
# the next one. An interrupt just then saves it: about every second boot of 6.12 dies of that,
# whose allocator uses the instruction on each allocation. Linux does without it.
_WITHOUT = ("cx16",)

_PACKAGE = "linux-image-cloud-amd64"
_KERNEL = "boot/vmlinuz-*"
# Modules that need no other and no device: so that the kernel's area for modules is not empty.
# Newer kernels have them compressed.
_MODULES = (
    "lib/modules/*/kernel/drivers/block/loop.ko*",
    "lib/modules/*/kernel/drivers/net/dummy.ko*",
    "lib/modules/*/kernel/drivers/net/tun.ko*",
)


def cached(release: str = "") -> Path | None:
    """Return the kernel image in the cache, or None before the first start."""
    return debian.unpacked(_PACKAGE, _KERNEL, release)


def recipe(
    *,
    order: Order | None = None,
    kernel: Path | None = None,
    append: str = "",
    release: str = "",
    uefi: bool = False,
) -> Recipe:
    """Return the recipe of a Linux guest that differs from the usual one.

    `order` is what it is to map for itself; `release` the Debian release whose kernel
    it boots, "" for the system's own; `kernel` another bzImage than Debian's; `append`
    goes behind the usual kernel command line; `uefi`: it is booted by UEFI firmware.
    Preparing it raises PtliveError if the kernel is none, or not to be had, or the
    command line cannot be one. Raises PtliveError for two kernels at once, and for what
    is no release.
    """
    if kernel and release:
        raise PtliveError("--kernel and --release both say which kernel to boot: give one")
    apt.check_release(release)
    made = replace(
        RECIPE,
        prepare=partial(
            _prepare, order=order, kernel=kernel, append=append, release=release, uefi=uefi
        ),
    )
    if order is None:
        return made
    return replace(made, memory=order.memory, patience=made.patience + order.seconds)


def _prepare(
    progress: Callable[[str], None],
    *,
    order: Order | None = None,
    kernel: Path | None = None,
    append: str = "",
    release: str = "",
    uefi: bool = False,
) -> Boot:
    words = [_COMMAND_LINE]
    if order:
        words += [order.parameters, f"ptlive.map={order.text}"]
    line = " ".join(word for word in [*words, append] if word)
    if not (line.isascii() and line.isprintable()):
        raise PtliveError(f"{append!r} cannot stand on a kernel's command line")
    if len(line) > _LONGEST_COMMAND_LINE:
        raise PtliveError(
            f"a kernel's command line has at most {_LONGEST_COMMAND_LINE} characters, "
            f"not {len(line)}"
        )
    modules: list[Path] = []
    if kernel:
        _check_kernel(kernel)
    else:
        patterns = (_KERNEL, *_MODULES)
        kernel, *modules = debian.provide_all(_PACKAGE, patterns, progress, release)
    busybox = debian.provide("busybox-static", "bin/busybox", progress).read_bytes()
    initrd = _initramfs(busybox, mapper.provide(progress), modules)
    return Boot(
        kernel=kernel.absolute(),
        initrd=initrd,
        append=line,
        swap=order.swap if order else 0,
        firmware=ovmf.firmware(progress) if uefi else None,
        without=_WITHOUT,
    )


def _check_kernel(path: Path) -> None:
    """Look for the signatures of a bzImage (Linux, Documentation/x86/boot.rst)."""
    try:
        with open(path, "rb") as file:
            head = file.read(0x206)
    except OSError as error:
        raise PtliveError(f"cannot read the kernel {path}: {error.strerror}") from error
    if head[0x1FE:0x200] != b"\x55\xaa" or head[0x202:] != b"HdrS":
        raise PtliveError(f"{path} is no Linux kernel that can be booted (a bzImage)")


def _initramfs(busybox: bytes, program: bytes, modules: list[Path]) -> Path:
    """Return the path of the archive in the cache, made when its content is new."""
    loaded = {path.name.removesuffix(".xz"): _module(path) for path in modules}
    content = b"".join([_INIT, busybox, program, _MARK, *loaded.values()])
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = debian.cache_folder() / f"initramfs-{digest}.gz"
    if not path.exists():
        names = ("bin", "dev", "lib", "lib/modules", "proc", "sys", "tmp")
        entries = [
            *(initramfs.folder(name) for name in names),
            # The kernel opens it for init's input and output, before init mounts /dev.
            initramfs.character_device("dev/console", 5, 1),
            initramfs.program("bin/busybox", busybox),
            initramfs.program("bin/mapper", program),
            initramfs.program("init", _INIT),
            *(initramfs.program(f"lib/modules/{name}", loaded[name]) for name in loaded),
            # Without it the mapper changes no setting of the system that it runs on.
            initramfs.program("ptlive-guest", _MARK),
        ]
        write_whole(path, initramfs.archive(entries))
    return path


def _module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


RECIPE = Recipe(
    name="linux",
    summary="Debian's cloud kernel with a busybox prompt on the serial port",
    memory=512 << 20,
    ready=Says(r"linux: levels=(?P<levels>\d)", whole_lines=True),
    patience=120,
    prepare=_prepare,
)
