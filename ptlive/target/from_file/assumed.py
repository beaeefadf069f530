"""What a file does not hold, or is to be taken for something else: `--assume NAME=VALUE`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind, Region
from ptlive.target.cpu import CpuState
from ptlive.target.from_file.saved import SavedCpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REGISTERS = ("cr0", "cr2", "cr3", "cr4", "efer")
_CPU = ("maxphyaddr", "gbpages", "pkru")
_KINDS = {"ram": Kind.RAM, "rom": Kind.ROM, "device": Kind.DEVICE}
_NAMES = (*REGISTERS, *_CPU, *_KINDS)
_TOLD = {"maxphyaddr": "MAXPHYADDR", "gbpages": "whether the CPU has 1G pages"}
_TRUTH = {"yes": 1, "on": 1, "true": 1, "1": 1, "no": 0, "off": 0, "false": 0, "0": 0}
# SDM vol. 3A 2.5 (CR0, CR4), 2.2.1 (EFER), 4.1.4 (the widths that there are).
_CR0_PG, _CR4_PAE = 1 << 31, 1 << 5
_LONG, _NXE = 1 << 8 | 1 << 10, 1 << 11
_WIDTHS = range(32, 53)


@dataclass(frozen=True)
class Assumed:
    """What the user told; values: by name; regions: stretches of one kind."""

    values: dict[str, int]
    regions: tuple[Region, ...] = ()


def parse(items: Iterable[str]) -> Assumed:
    """Read NAME=VALUE, several with commas between. Raises PtliveError for what is neither."""
    values: dict[str, int] = {}
    regions = []
    for item in (one.strip() for text in items for one in text.split(",")):
        name, sign, value = item.partition("=")
        name = name.strip().lower()
        if not sign:
            raise PtliveError(f"--assume {item!r} is no NAME=VALUE")
        if name not in _NAMES:
            raise PtliveError(f"--assume knows no {name!r}; it knows {', '.join(_NAMES)}")
        if name in _KINDS:
            regions.append(_region(name, value))
        elif name in values:
            raise PtliveError(f"--assume is given two values of {name}")
        else:
            values[name] = _value(name, value.strip())
    return Assumed(values, tuple(regions))


def _value(name: str, text: str) -> int:
    if name == "gbpages":
        if text.lower() not in _TRUTH:
            raise PtliveError(f"--assume gbpages={text}: say yes or no")
        return _TRUTH[text.lower()]
    number = _number(f"--assume {name}={text}", text)
    if name == "maxphyaddr" and number not in _WIDTHS:
        raise PtliveError(f"--assume maxphyaddr={text}: it is 32 to 52")
    if name == "pkru" and number >> 32:
        raise PtliveError(f"--assume pkru={text} does not fit into 32 bits")
    return number


def _region(name: str, text: str) -> Region:
    first, dots, last = text.partition("..")
    what = f"--assume {name}={text}"
    ends = _number(what, first), _number(what, last if dots else "")
    if ends[0] > ends[1]:
        raise PtliveError(f"{what} ends before it begins")
    return Region(*ends, _KINDS[name], "assumed", 0)


def _number(what: str, text: str) -> int:
    try:
        number = int(text.strip().replace("_", ""), 0)
    except ValueError:
        raise PtliveError(f"{what}: {text!r} is no number (0x1234 or 4660)") from None
    if not 0 <= number < 1 << 64:
        raise PtliveError(f"{what} does not fit into 64 bits")
    return number


def cpu_states(
    cpus: Sequence[SavedCpu], assumed: Assumed
) -> tuple[tuple[CpuState, ...], list[tuple[str, str]]]:
    """Return the vCPUs as they are taken for, and notes, as (code, text), of what is no fact.

    Raises PtliveError if it is not known where the tables are.
    """
    if not cpus:
        if not {"cr3", "cr4"} <= assumed.values.keys():
            raise PtliveError(
                "it holds no registers: tell at least --assume cr3=VALUE,cr4=VALUE, as they were"
            )
        # Protected mode and paging are on, and supervisor writes heed R/W (SDM vol. 3A 2.5).
        cpus = [SavedCpu(1, {"cr0": 0x8001_0001})]
    notes = []
    for name, value in assumed.values.items():
        told = _TOLD.get(name, name.upper())
        was = {_known(cpu, name) for cpu in cpus}
        held = ", ".join(sorted(_text(name, one) for one in was if one is not None))
        why = f"the file has {held}" if held else "it is not in the file"
        notes.append(("assumed", f"{told} is assumed to be {_text(name, value)}: {why}"))
    found, guessed = [], set()
    for cpu in cpus:
        registers = dict(cpu.registers)
        registers |= {n: v for n, v in assumed.values.items() if n in REGISTERS}
        if "efer" not in registers:
            registers["efer"] = _efer(cpu, registers)
            guessed.add((registers["efer"], registers.get("cr0", 0) & _CR0_PG))
        found.append(_state(cpu, registers, assumed.values))
    for efer, paging in sorted(guessed):
        if paging:
            names = " ".join(n for n, b in (("LME LMA", _LONG), ("NXE", _NXE)) if efer & b)
            text = f"EFER is not in the file: assumed {names or 'nothing set'} ({efer:#x})"
            notes.append(("assumed", f"{text}; --assume efer=VALUE tells it"))
    return tuple(found), notes


def _text(name: str, value: int) -> str:
    if name == "gbpages":
        return "yes" if value else "no"
    return str(value) if name == "maxphyaddr" else hex(value)


def _known(cpu: SavedCpu, name: str) -> int | None:
    return getattr(cpu, name) if name in _CPU else cpu.registers.get(name)


def _efer(cpu: SavedCpu, registers: dict[str, int]) -> int:
    """Return what EFER must have been, as far as the rest tells; every 64-bit system sets NXE."""
    if not registers.get("cr0", 0) & _CR0_PG or not registers.get("cr4", 0) & _CR4_PAE:
        return 0
    return _NXE | (0 if cpu.long_mode is False else _LONG)


def _state(cpu: SavedCpu, registers: dict[str, int], values: dict[str, int]) -> CpuState:
    gbpages = bool(values["gbpages"]) if "gbpages" in values else cpu.gbpages
    named = {name: registers.get(name, 0) for name in (*REGISTERS, "rip", "cs", "ss")}
    return CpuState(
        vcpu=cpu.vcpu,
        rflags=registers.get("eflags", 0),
        maxphyaddr=values.get("maxphyaddr", cpu.maxphyaddr),
        gbpages=gbpages,
        halted=cpu.halted,
        pkru=values.get("pkru", cpu.pkru),
        **named,
    )


def overlaid(regions: Iterable[Region], above: Iterable[Region]) -> list[Region]:
    """Return the map with other stretches laid over it, the later ones over the earlier."""
    found = list(regions)
    for new in above:
        left = []
        for old in found:
            if old.last < new.first or new.last < old.first:
                left.append(old)
                continue
            if old.first < new.first:
                left.append(dataclasses.replace(old, last=new.first - 1))
            if new.last < old.last:
                moved = old.offset + new.last + 1 - old.first
                left.append(dataclasses.replace(old, first=new.last + 1, offset=moved))
        found = [*left, new]
    return sorted(found, key=lambda region: region.first)
