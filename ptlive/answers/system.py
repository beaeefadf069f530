"""Which system an address space belongs to, with its areas and, from a file, its names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging import control

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path
    from typing import TypeAlias

    from ptlive.analysis.profile import Profile
    from ptlive.analysis.symbols.table import Symbols
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

    Known: TypeAlias = MutableMapping[tuple[bytes, int], Profile]


def system_of(
    space: AddressSpace,
    graph: Graph | None = None,
    *,
    insist: str | None = None,
    symbols: Path | None = None,
    known: Known | None = None,
) -> Profile | None:
    """Return what is known of the system that an address space belongs to, None if nothing is.

    graph: a walk of it, over any range, if there is one: the kernel's half is walked again,
    which is a matter of some hundred tables
    insist: the name of a system that it is taken for; symbols: a file that names its addresses,
    not used where no system is known
    known: what was found before, by the kernel's half of a root table, which processes have in
    common; what is found goes there

    Raises PtliveError for symbols that are not this system's.
    """
    # So that a command that wants no profile does not pay for it.
    from ptlive.analysis.systems import detect, with_symbols

    # What a hypervisor's tables translate are a guest's physical addresses: no system's areas.
    if space.format.name in control.NESTED:
        return None
    if graph is None or not graph.floors:
        last = np.array([space.format.windows[-1].last_va], dtype=np.uint64)
        graph = space.walk((last, last))
    known = {} if known is None else known
    half = _known_by(space)
    if half in known:
        return known[half]
    found = detect(graph, space.memory, space.ram_map.ram, insist=insist)
    if symbols is not None and found is not None:
        with symbols_of(symbols) as names:
            found = with_symbols(found, names, space.format, space.memory, str(symbols))
    # From the user's half of a pair the evidence is about that pair alone.
    if found is not None and found.root == int(space.root[0]):
        known[half] = found
    return found


def slide_of(space: AddressSpace, file: Path) -> int:
    """Return how far the kernel of an address space was moved from where its file has it.

    0 where nothing shows that this is a kernel that we know, or that the file is of one. Raises
    PtliveError for a file of another kernel.
    """
    found = system_of(space, symbols=file)
    text = found and next((area for area in found.areas if area.name == "kernel text"), None)
    with symbols_of(file) as symbols:
        linked = symbols.value("_text") or symbols.value("_stext")
    return text.va - linked if text and linked is not None else 0


def _known_by(space: AddressSpace) -> tuple[bytes, int]:
    """Return what spaces of which the same is known have in common.

    That is the upper half of the root table; but a root with a lower half that is no process'
    has areas of its own there, and is known by itself.
    """
    from ptlive.analysis.linux.lower import no_process

    number = int(space.root[0])
    own = number if no_process(space.format, space.memory, number) else -1
    root = space.format.level(space.format.top)
    data, _ = space.memory.read(space.root[:1], root.entry_size << root.index_bits)
    return data[0, data.shape[1] // 2 :].tobytes(), own


@contextmanager
def symbols_of(path: Path) -> Iterator[Symbols]:
    """Read the symbols of a file, open as long as its contents may be asked for."""
    from ptlive.analysis.symbols.elf import MAGIC, parse_elf
    from ptlive.analysis.symbols.text import TEXT_LIMIT, parse_text

    try:
        file = path.open("rb")
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    with file:
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            yield parse_elf(file, str(path))
            return
        file.seek(0)
        data = file.read(TEXT_LIMIT + 1)
        if len(data) > TEXT_LIMIT:
            raise PtliveError(f"{path} is no list of symbols: it is larger than 256M")
        yield parse_text(data, str(path))
