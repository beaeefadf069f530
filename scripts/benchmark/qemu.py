"""QEMU's own ways to tell what is mapped, and the bare transfer of the tables."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from scripts.benchmark.raw import RawPackets, RawQmp, commands, reads
from scripts.benchmark.timing import Way, since

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64
    from scripts.benchmark.guest import Subject
    from scripts.benchmark.timing import Run

RAW, INFO_TLB = "raw transfer", "info tlb"
GVA2GPA_QMP, GVA2GPA_STUB = "gva2gpa, QMP", "gva2gpa, stub"
#: What `info tlb` does not do (target/i386/monitor.c), for whoever reads the ratio.
INFO_TLB_LIMITS = (
    "`info tlb` prints text, with the rights of the leaf alone (not folded over the levels), "
    "without reserved bits, and drops address bits 50 and 51"
)


def raw_transfer(subject: Subject, tables: U64) -> Way:
    """Have the stub send these tables, 4K each: the limit for whoever reads through it."""
    requests = reads(tables)

    @contextmanager
    def opened() -> Iterator[Run]:
        with RawPackets(subject.guest.gdb) as stub:

            def run() -> dict[str, float]:
                begun = time.perf_counter()
                stub.read(requests)
                return {RAW: since(begun)}

            yield run

    return Way(RAW, opened)


def info_tlb(subject: Subject) -> Way:
    """Have QEMU list all pages; the text is received and not parsed."""

    @contextmanager
    def opened() -> Iterator[Run]:
        with RawQmp(subject.qmp) as qmp:

            def run() -> dict[str, float]:
                begun = time.perf_counter()
                answer = qmp.human("info tlb")
                seconds = since(begun)
                if not answer.startswith(b'{"return": "'):
                    raise PtliveError(f"QEMU refused: {answer[:200].decode(errors='replace')}")
                return {INFO_TLB: seconds}

            yield run

    return Way(INFO_TLB, opened)


def gva2gpa(subject: Subject, addresses: U64) -> list[Way]:
    """Have QEMU's debug walker translate each address: over QMP, and in packets in flight."""
    lines = [f"gva2gpa {address:#x}" for address in addresses.tolist()]

    requests = commands(lines)

    @contextmanager
    def by_qmp() -> Iterator[Run]:
        with RawQmp(subject.qmp) as qmp:

            def run() -> dict[str, float]:
                begun = time.perf_counter()
                for line in lines:
                    qmp.human(line)
                return {GVA2GPA_QMP: since(begun)}

            yield run

    @contextmanager
    def by_stub() -> Iterator[Run]:
        with RawPackets(subject.guest.gdb) as stub:

            def run() -> dict[str, float]:
                begun = time.perf_counter()
                stub.monitor(requests)
                return {GVA2GPA_STUB: since(begun)}

            yield run

    return [Way(GVA2GPA_QMP, by_qmp), Way(GVA2GPA_STUB, by_stub)]


def translated(subject: Subject, addresses: U64) -> list[int | None]:
    """Return what `gva2gpa` answers for each address, None where it has no translation."""
    with RawQmp(subject.qmp) as qmp:
        said = (qmp.text(f"gva2gpa {address:#x}") for address in addresses.tolist())
        found = [re.match(r"gpa: 0x([0-9a-f]+)", text) for text in said]
    return [int(match[1], 16) if match else None for match in found]
