"""Random operations: a seed makes the same ones every time, and each is one line to read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.pagetables import machine as m
from tests.pagetables import model
from tests.pagetables.machine import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE, LARGE, HUGE = 1 << 12, 1 << 21, 1 << 30
TOP = 1 << 64
NAMES = {
    m.UNMAP: "unmap",
    m.COPY: "copy",
    m.REMAP: "remap",
    m.PROTECT: "protect",
    m.WALK: "walk",
    m.LIMIT: "limit",
    m.LOAD: "load",
    m.STORE: "store",
    m.SWITCH: "switch",
}
_WEIGHTS = {
    m.REMAP: 30,
    m.UNMAP: 20,
    m.PROTECT: 15,
    m.COPY: 10,
    m.WALK: 8,
    m.LOAD: 8,
    m.STORE: 8,
    m.LIMIT: 3,
    m.SWITCH: 1,
}
_RIGHTS = (0, model.RW, model.US | model.RW, model.XD, model.XD | model.RW, model.US, 3 << 59)
_TYPES = (0, 0, 0, 1 << 3, 1 << 4, model.PAT, model.PAT | 1 << 4)
_USED = (0, 0, model.A, model.A | model.D)
# Frames as far as entries can name them; what is mapped is not touched.
_PHYSICAL = 1 << 46
_MANY = 4 * LARGE  # bytes, if in pages of 4K


def half(levels: int) -> int:
    """Return where the lower canonical half ends."""
    return 1 << min(12 + 9 * levels - 1, 63)


def anchors(levels: int) -> list[int]:
    """Return addresses around which operations are: where tables of some level begin."""
    end = half(levels)
    inside = [1 << (12 + 9 * n) for n in range(1, levels) if 1 << (12 + 9 * n) < end]
    mixed = [sum(inside[n:]) for n in range(len(inside))]
    low = [0, *inside, *mixed, end, end - HUGE * 3]
    return [*low, *(at + TOP - end for at in low if at < end), TOP]


def describe(command: Command) -> str:
    """Return a command as one line, which is also how it is written down to be repeated."""
    c = command
    return (
        f"Command({NAMES[c.op].upper()}, {c.start:#x}, {c.end:#x}, space={c.space}, "
        f"pa={c.pa:#x}, prot={c.prot:#x}, max_shift={c.max_shift})"
    )


def operations(
    seed: int,
    levels: int,
    count: int,
    places: list[int] | None = None,
    frames: tuple[int, int] = (0, _PHYSICAL),
) -> Iterator[Command]:
    """Yield so many commands, in few places, so that they meet what others have left.

    places: around which addresses, by default some of the anchors; frames: what may be mapped
    """
    chance = random.Random(seed)
    places = places or chance.sample(anchors(levels), 4)
    yield Command(m.SWITCH)
    recent: list[tuple[int, int]] = []
    for _ in range(count):
        command = _operation(chance, levels, places, frames, recent)
        if command.op == m.REMAP:
            recent = [*recent[-5:], (command.start, command.end)]
        yield command


def _operation(
    chance: random.Random,
    levels: int,
    places: list[int],
    frames: tuple[int, int],
    recent: list[tuple[int, int]],
) -> Command:
    op = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    space = int(chance.random() < 0.25)
    if op == m.LIMIT:
        few = chance.random() < 0.6
        return Command(op, start=chance.randrange(8) if few else m.NO_LIMIT)
    if op == m.SWITCH:
        return Command(op, space=space)
    shift = chance.choices((12, 21, 30), (5, 3, 2))[0]
    start, end = _range(chance, levels, places, shift if op == m.REMAP else None)
    if op != m.REMAP and recent and chance.random() < 0.4:
        start, end = chance.choice(recent)  # the whole of what was mapped, as it was
    if op in (m.LOAD, m.STORE):
        return Command(op, chance.randrange(start, end) & ~7, space=space)
    rights = chance.choice(_RIGHTS)
    if op == m.PROTECT:
        return Command(op, start, end, space, prot=rights)
    if op == m.REMAP:
        # Large pages fit if the frames lie as the addresses do; else there are many small ones.
        fits = chance.random() < 0.8 or end - start > _MANY
        low, high = frames
        pa = max(chance.randrange(low, high), 1 << shift) & -(1 << shift)
        pa |= start % (1 << shift) if fits else chance.randrange(1 << shift) & -PAGE
        prot = model.P | rights | chance.choice(_TYPES) | chance.choice(_USED)
        return Command(op, start, end, space, pa=pa, prot=prot, max_shift=shift)
    return Command(op, start, end, space)


def _range(
    chance: random.Random, levels: int, places: list[int], shift: int | None
) -> tuple[int, int]:
    """Return a range in one canonical half; with a shift, of not too many pages of that size."""
    unit = 1 << (shift if shift else chance.choices((12, 21, 30, 39), (5, 3, 2, 1))[0])
    few, table = (1, 1, 1, 2, 2, 3, 5), (511, 512, 513)
    length = chance.choice(few if unit >= HUGE or chance.random() < 0.8 else table)
    at = chance.choice(places) + unit * chance.choice((-2, -1, -1, 0, 0, 0, 0, 1, 2))
    start = at + PAGE * chance.choice((0, 0, 0, -1, 1, 511))
    end = at + unit * length + PAGE * chance.choice((0, 0, 0, -1, 1, 2))
    low, high = (0, half(levels)) if at < half(levels) else (TOP - half(levels), TOP)
    start = min(max(start, low), high - PAGE)
    return start, min(max(end, start + PAGE), high)
