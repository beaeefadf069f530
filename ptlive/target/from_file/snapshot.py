"""What is known of an attached guest besides its memory, as a snapshot's JSON, and back.

The keys are described in ptlive/memory/snapshot/README.md.
"""

from __future__ import annotations

import datetime
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import ptlive
from ptlive.errors import PtliveError
from ptlive.memory.layout import read_layout
from ptlive.memory.ram_map import Kind, Region
from ptlive.target.cpu_model import cpu_option
from ptlive.target.from_file.assumed import REGISTERS
from ptlive.target.from_file.saved import Saved, SavedCpu
from ptlive.target.saved_state import SavedTypes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.memory.snapshot.read import Snapshot
    from ptlive.target.attach import Target
    from ptlive.wire.stub import Stub

# What tells whether a guest stood still, and what it is made of; see `still` and `layout`.
_ASKED = ("info registers -a", "info lapic")
# What a file may make us look at, one by one.
_MOST_MTRRS, _MOST_REGIONS, _MOST_CPUS, _MOST_NOTES, _LONGEST = (
    1 << 8,
    1 << 12,
    1 << 12,
    1 << 6,
    1 << 12,
)


class _Recorder:
    """Passes questions to QEMU's monitor, and keeps the answers."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self.answers: dict[str, str] = {}

    def monitor(self, command: str) -> str:
        """Ask one."""
        return self.monitor_many([command])[0]

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """Ask many."""
        answers = self._stub.monitor_many(commands)
        self.answers |= zip(commands, answers, strict=True)
        return answers


def describe(
    target: Target,
    *,
    guest: str,
    full: bool,
    live: bool,
    pkru: Mapping[int, int | None],
    memory_types: SavedTypes | None = None,
    roots: Sequence[Mapping[str, str]],
    notes: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return what a snapshot says of a guest.

    pkru: by vCPU, where it is known; memory_types: of the first vCPU
    """
    monitor = _Recorder(target.stub)
    with suppress(PtliveError):  # of a file, which has some of the answers or none
        monitor.monitor_many(_ASKED)
        # What a twin of the guest needs to know, asked as a twin does.
        cpu_option(cast("Stub", monitor), target.cpus[0], "tcg")
        read_layout(monitor.monitor, target.ram_map)
    return {
        "made_by": f"ptlive {ptlive.__version__}",
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "guest": guest,
        "accelerator": target.accelerator,
        "qemu": target.version,
        "was_running": target.was_running,
        "live": live,
        "full": full,
        "notes": [{"code": code, "text": text} for code, text in notes],
        "roots": list(roots),
        "cpus": [
            {
                "vcpu": cpu.vcpu,
                "maxphyaddr": cpu.maxphyaddr,
                "gbpages": cpu.gbpages,
                "halted": cpu.halted,
                "pkru": None if (known := pkru.get(cpu.vcpu)) is None else hex(known),
                # What was read first is what the rest was read by, should it run.
                "registers": {
                    name: hex(value)
                    for name, value in (
                        target.stub.registers(cpu.vcpu)
                        | {name: getattr(cpu, name) for name in (*REGISTERS, "rip", "cs", "ss")}
                        | {"eflags": cpu.rflags}
                    ).items()
                },
            }
            for cpu in target.cpus
        ],
        "regions": [
            {
                "first": hex(region.first),
                "last": hex(region.last),
                "kind": region.kind.name,
                "name": region.name,
                "offset": hex(region.offset),
            }
            for region in target.ram_map.regions
        ],
        "memory_types": None
        if memory_types is None
        else {
            "pat": hex(memory_types.pat),
            "default": hex(memory_types.default),
            "fixed": [hex(one) for one in memory_types.fixed],
            "variable": [[hex(base), hex(mask)] for base, mask in memory_types.variable],
        },
        "monitor": monitor.answers,
    }


def saved_of(snapshot: Snapshot) -> Saved:
    """Return the guest of a snapshot. Raises PtliveError for a description that makes no sense."""
    about = snapshot.about
    try:
        cpus = tuple(_cpu(one) for one in _listed(about, "cpus", _MOST_CPUS))
        regions = tuple(_region(one) for one in _listed(about, "regions", _MOST_REGIONS))
        notes = [
            (
                _text(one["code"])[:64],
                f"when the snapshot was made: {_text(one['text'])}"[:_LONGEST],
            )
            for one in _listed(about, "notes", _MOST_NOTES)
        ]
        if len({cpu.vcpu for cpu in cpus}) != len(cpus) or not cpus:
            raise ValueError("a vCPU twice, or none")
        if about["live"] is True:
            text = f"the guest could run while this was read, at {_text(about['time'])}"
            notes.insert(0, ("read-live", f"{text}: its parts may be of different moments"))
        return Saved(
            what="a snapshot",
            cpus=cpus,
            regions=regions,
            memory=snapshot.memory,
            accelerator=_text(about["accelerator"]),
            version=_text(about["qemu"]),
            was_running=_optional(about["was_running"], bool),
            full=about["full"] is True,
            memory_types=_types(about.get("memory_types")),
            answers={_text(k): _text(v) for k, v in dict(about["monitor"]).items()},
            notes=tuple(notes),
        )
    except (KeyError, TypeError, ValueError):
        raise PtliveError("what it says of the guest makes no sense") from None


def _cpu(said: Mapping[str, Any]) -> SavedCpu:
    registers = {_text(name): _hex(value) for name, value in dict(said["registers"]).items()}
    if not {*REGISTERS, "rip", "eflags", "cs", "ss"} <= registers.keys():
        raise ValueError("a register is missing")
    width = _optional(said["maxphyaddr"], int)
    if width is not None and not 32 <= width <= 52:
        raise ValueError("no such width")
    pkru = None if said["pkru"] is None else _hex(said["pkru"], 1 << 32)
    return SavedCpu(
        vcpu=_checked(said["vcpu"], int),
        registers=registers,
        maxphyaddr=width,
        gbpages=_optional(said["gbpages"], bool),
        halted=_optional(said["halted"], bool),
        pkru=pkru,
    )


def _types(said: Mapping[str, Any] | None) -> SavedTypes | None:
    if said is None:
        return None
    fixed = tuple(_hex(one) for one in _listed(said, "fixed", _MOST_MTRRS))
    pairs = [_checked(one, list) for one in _listed(said, "variable", _MOST_MTRRS)]
    variable = tuple((_hex(base), _hex(mask)) for base, mask in pairs)
    return SavedTypes(_hex(said["pat"]), _hex(said["default"]), fixed, variable)


def _region(said: Mapping[str, Any]) -> Region:
    first, last, offset = (_hex(said[name]) for name in ("first", "last", "offset"))
    if first > last:
        raise ValueError("it ends before it begins")
    return Region(first, last, Kind[_text(said["kind"])], _text(said["name"]), offset)


def _listed(about: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = _checked(about[name], list)
    if len(found) > most:
        raise ValueError("too many")
    return cast("list[Any]", found)


def _text(value: object) -> str:
    return cast("str", _checked(value, str))


def _hex(value: object, limit: int = 1 << 64) -> int:
    number = int(_text(value), 16)
    if not 0 <= number < limit:
        raise ValueError("out of range")
    return number


def _optional(value: object, kind: type) -> Any:
    return None if value is None else _checked(value, kind)


def _checked(value: object, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value
