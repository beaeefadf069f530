"""An address space of a live guest: here the two pillars meet.

A format and a root from the CPU's registers, physical memory from the target,
and the control bits that decide about accesses.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.regions.build import Regions, regions
from ptlive.analysis.translation import Translation, describe, first_failure, outcome
from ptlive.memory.ram_map import Kind as Target
from ptlive.memory.told import ToldMemory
from ptlive.paging.access import pieces
from ptlive.paging.architectures import PAGING
from ptlive.paging.architectures.facts import Facts, Wanted
from ptlive.paging.translate import Translations, translate
from ptlive.paging.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U8, U64, Memory
    from ptlive.memory.ram_map import RamMap
    from ptlive.paging.access import AccessRules
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph
    from ptlive.target.cpu import CpuState

MIXED = len(Target)
TARGET_NAMES = ("nothing", "RAM", "ROM", "device", "mixed")


@dataclass(frozen=True, eq=False)
class AddressSpace:
    """One root table of a guest, with all that is needed to walk it.

    root: uint64[format.roots]; origin: where the root came from, such as "cr3"
    controls: of the vCPU whose paging is asked about
    not_modelled: control bits that are on and not modelled, with what that means
    """

    format: Format
    memory: Memory
    root: U64
    origin: str
    controls: AccessRules
    ram_map: RamMap
    vcpu: int
    not_modelled: dict[str, str]

    @property
    def title(self) -> str:
        """What to call it, such as "root 0x1000 (cr3)"."""
        return f"root {int(self.root[0]):#x} ({self.origin})"

    def walk(
        self,
        ranges: tuple[U64, U64] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Graph:
        """Walk over ranges, everything by default. Raises PtliveError for a bad root.

        progress: told (what, done, all) where many tables are to be read
        """
        memory = ToldMemory(self.memory, progress) if progress else self.memory
        return walk(self.format, memory, self.root.reshape(1, -1), ranges)

    def translate(self, va: U64) -> Translations:
        """Translate addresses, uint64[n]. Raises PtliveError for a bad root."""
        return translate(self.format, self.memory, self.root, va)

    def beyond(self, va: U64, length: int) -> list[Translations | None]:
        """Translate what accesses of `length` bytes at these addresses reach in further pages.

        Returns for each the translations of its later pieces, None if it has none.
        """
        if length == 1:
            return [None] * va.size
        bits = self.format.address_bits
        rest = [[one for one, _ in pieces(int(first), length, bits=bits)][1:] for first in va]
        return [self.translate(np.array(one, dtype=np.uint64)) if one else None for one in rest]

    def describe(
        self,
        translations: Translations,
        row: int,
        kinds: Sequence[AccessKind],
        beyond: Sequence[Translations | None] = (),
    ) -> Translation:
        """Tell one of the translated addresses step by step; reads nothing of the guest.

        kinds: the accesses whose outcome is to be told; beyond: see there, for each
        row. An access that crosses into another page fails where its first failing
        piece does.
        """
        found = describe(
            translations, row, self.controls, list(kinds), self.target_of, TARGET_NAMES
        )
        rest = beyond[row] if beyond else None
        if rest is None:
            return found
        outcomes = []
        for now in found.outcomes:
            then = [outcome(rest, at, self.controls, now.kind) for at in range(rest.va.size)]
            outcomes.append(first_failure([now, *then]))
        return dataclasses.replace(found, outcomes=outcomes)

    def regions(self, graph: Graph, *, split_pa: bool = False) -> Regions:
        """Merge a walk's leaves into regions."""
        return regions(graph, self.target_of, split_pa=split_pa)

    def target_of(self, pa: U64, size_bits: U64) -> U8:
        """Return what each page of 2**size_bits bytes lies in, as an index of TARGET_NAMES.

        pa, size_bits: uint64[n]; returns uint8[n].
        """
        last = pa + ((np.uint64(1) << size_bits) - np.uint64(1))
        kinds = self.ram_map.kind_of(pa)
        mixed = ~self.ram_map.uniform(pa, last)
        return np.where(mixed, np.uint8(MIXED), kinds).astype(np.uint8)


def open_space(
    cpu: CpuState,
    memory: Memory,
    ram_map: RamMap,
    *,
    root: int | None = None,
    origin: str | None = None,
    format_name: str | None = None,
    pkru: int | None = None,
) -> AddressSpace:
    """Return the address space that a vCPU uses, or one with another root.

    root: a root register's value; the vCPU's own by default; origin: what to call it
    format_name: insist on this format

    Raises PtliveError if paging is off, or for a mode without a format.
    """
    facts = Facts(cpu.registers, cpu.features, memory)
    paging = PAGING[cpu.architecture.name](facts, Wanted(root, format_name, pkru))
    return AddressSpace(
        format=paging.format,
        memory=memory,
        root=np.array(paging.roots, dtype=np.uint64),
        origin=origin or (paging.origin if root is None else f"{root:#x}"),
        controls=paging.rules,
        ram_map=ram_map,
        vcpu=cpu.vcpu,
        not_modelled=dict(paging.not_modelled),
    )
