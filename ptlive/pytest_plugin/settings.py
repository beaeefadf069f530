"""What is to be booted: said in the ini file, on the command line, by a marker or by a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptlive.errors import PtliveError
from ptlive.target import how

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from pathlib import Path

    import pytest

    from ptlive.guests import Recipe


class How(how.How, total=False):
    """What is to be booted and when it is up; all of it may be left out.

    kernel: what QEMU's -kernel boots: an ELF file with a PVH note or a multiboot header, or a
    bzImage; everything else is as `ptlive.launch` takes it
    """

    kernel: str | PathLike[str] | None


@dataclass(frozen=True)
class _Setting:
    """One key of `How`: its kind in the ini file, its help, and how its text is read."""

    help: str
    ini: str = "string"
    read: Callable[[str], Any] = str


def _number(text: str) -> int:
    return int(text, 0)


_SETTINGS = {
    "kernel": _Setting("what QEMU's -kernel boots"),
    "initrd": _Setting("the kernel's initrd"),
    "append": _Setting("the kernel's command line"),
    "disks": _Setting("disk images, raw or qcow2", "linelist"),
    "cdrom": _Setting("an ISO image"),
    "bios": _Setting("firmware, in place of QEMU's"),
    "symbols": _Setting("an ELF file with names, by default the kernel"),
    "ready": _Setting("when the guest is up: a regular expression, paging, at:SYMBOL ..."),
    "patience": _Setting("how many seconds it may take to be up", read=float),
    "debug_exit": _Setting("the port of QEMU's isa-debug-exit", read=_number),
    "levels": _Setting("levels of paging that the CPU offers: 4 or 5", read=_number),
    "accel": _Setting("tcg or kvm"),
    "memory": _Setting("RAM, as 512M"),
    "cpus": _Setting("how many vCPUs", read=_number),
    "extra": _Setting("more arguments for QEMU", "args"),
}
#: Those that the command line has, too: --ptlive-kernel and so on.
_ON_COMMAND_LINE = {"kernel": "FILE", "accel": "tcg|kvm"}


def add_options(parser: pytest.Parser) -> None:
    """Add the ini options and those of the command line."""
    for name, setting in _SETTINGS.items():
        text = f"ptlive: {setting.help}"
        parser.addini(f"ptlive_{name}", text, type=setting.ini)  # type: ignore[arg-type]  # a Literal
    group = parser.getgroup("ptlive", "kernels under QEMU (ptlive)")
    for name, metavar in _ON_COMMAND_LINE.items():
        group.addoption(f"--ptlive-{name}", metavar=metavar, help=_SETTINGS[name].help)
    group.addoption(
        "--ptlive-keep",
        action="store_true",
        help="leave the guests running when a test has failed; `ptlive guest stop` ends them",
    )


def defaults(config: pytest.Config) -> How:
    """Return what the ini file says, and the command line, which has the last word.

    Raises PtliveError for a number that is none.
    """
    found: How = {}
    for name in _SETTINGS:
        value = config.getini(f"ptlive_{name}")
        if name in _ON_COMMAND_LINE and config.getoption(f"--ptlive-{name}"):
            # Relative to where pytest was called, as every file on a command line.
            text = config.getoption(f"--ptlive-{name}")
            value = str(config.invocation_params.dir / text) if name in how.FILES else text
        if value:
            read = _read(name, value) if isinstance(value, str) else list(value)
            found[name] = read  # type: ignore[literal-required]  # _SETTINGS has the keys of How
    return found


def _read(name: str, text: str) -> Any:
    try:
        return _SETTINGS[name].read(text)
    except ValueError:
        raise PtliveError(f"ptlive_{name} = {text!r} is no number") from None


def recipe_of(asked: Mapping[str, Any], base: Path) -> Recipe:
    """Return what the launcher boots; relative paths are relative to `base`.

    Raises PtliveError for what cannot be, and if nothing is named.
    """
    for name in asked:
        if name not in _SETTINGS:
            raise PtliveError(f"{name!r} is none of {', '.join(_SETTINGS)}")
    if not any(asked.get(name) for name in ("kernel", "disks", "cdrom", "bios")):
        raise PtliveError(
            "what is to be booted is not known: say ptlive_kernel = FILE in the ini file, "
            "--ptlive-kernel FILE, or kernel= to ptlive_boot or to the marker ptlive"
        )
    return how.recipe_of(asked, base)
