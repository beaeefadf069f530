"""The Linux guest: Debian's packaged cloud kernel with busybox in an initramfs.

Nothing is installed: apt downloads the two packages, and what is needed of them
is unpacked into the user's cache, once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ptlive.guests import debian, initramfs
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Page tables do not depend on what user space does here, so it does little: mount
# what an explorer of memory wants to see, say that it is up, give a prompt.
_INIT = b"""\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='guest# '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
echo 0 > /proc/sys/kernel/kptr_restrict
levels=4
grep -qw la57 /proc/cpuinfo && levels=5
echo "linux: levels=$levels release=$(uname -r)"
while :; do setsid -c sh < /dev/ttyS0 > /dev/ttyS0 2>&1; done
"""

# The guest keeps its address randomisation: an analyzer has to cope with it.
# panic=-1 makes a crash a reboot, which -no-reboot makes the end of QEMU.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1"


def cached() -> Path | None:
    """Return the kernel image in the cache, or None before the first start."""
    return debian.unpacked("linux-image-cloud-amd64", "boot/vmlinuz-*")


def _prepare(progress: Callable[[str], None]) -> Boot:
    kernel = debian.provide("linux-image-cloud-amd64", "boot/vmlinuz-*", progress)
    busybox = debian.provide("busybox-static", "bin/busybox", progress).read_bytes()
    return Boot(kernel=kernel, initrd=_initramfs(busybox), append=_COMMAND_LINE)


def _initramfs(busybox: bytes) -> Path:
    """Return the path of the archive in the cache, made when its content is new."""
    digest = hashlib.sha256(_INIT + busybox).hexdigest()[:16]
    path = debian.cache_folder() / f"initramfs-{digest}.gz"
    if not path.exists():
        names = ("bin", "dev", "proc", "sys", "tmp")
        entries = [
            *(initramfs.folder(name) for name in names),
            # The kernel opens it for init's input and output, before init mounts /dev.
            initramfs.character_device("dev/console", 5, 1),
            initramfs.program("bin/busybox", busybox),
            initramfs.program("init", _INIT),
        ]
        debian.write_whole(path, initramfs.archive(entries))
    return path


RECIPE = Recipe(
    name="linux",
    summary="Debian's cloud kernel with a busybox prompt on the serial port",
    memory=512 << 20,
    ready=r"linux: levels=(?P<levels>\d)",
    patience=120,
    prepare=_prepare,
)
