"""Write down what is about to be changed in the guest, before it is changed.

The guard process receives every record at once, so that it can undo the changes even
if this process is killed between two instructions. Standard library only: both read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ptlive.wire.stub import Stub


class MemoryRecord(NamedTuple):
    """Bytes as they were at a physical address."""

    address: int
    old: bytes

    def line(self) -> str:
        """Return the record as the guard receives it."""
        return f"memory {self.address:x} {self.old.hex()}"


class RegisterRecord(NamedTuple):
    """Registers of one vCPU as they were; the guard replays them as `packets`."""

    vcpu: int
    old: Mapping[str, int]
    packets: tuple[str, ...]

    def line(self) -> str:
        """Return the record as the guard receives it."""
        return f"registers {self.vcpu:x} {' '.join(self.packets)}"


Record = MemoryRecord | RegisterRecord


def parse(line: str) -> Record:
    """Read what `line()` wrote. Raises ValueError for anything else."""
    kind, *words = line.split()
    if kind == "memory" and len(words) == 2:
        return MemoryRecord(int(words[0], 16), bytes.fromhex(words[1]))
    if kind == "registers" and words:
        return RegisterRecord(int(words[0], 16), {}, tuple(words[1:]))
    raise ValueError(f"no record: {line!r}")


def undo_order(
    records: Iterable[Record],
) -> tuple[list[MemoryRecord], list[RegisterRecord]]:
    """Return what to restore, each newest first: all memory, then the registers.

    Registers come last so that restoring CR3 drops translations of entries that the
    memory's restoration has just put back.
    """
    newest_first = list(records)[::-1]
    return (
        [record for record in newest_first if isinstance(record, MemoryRecord)],
        [record for record in newest_first if isinstance(record, RegisterRecord)],
    )


class Journal:
    """Records of one attachment, in the order made.

    `send` hands one line to the guard. A caller marks its place with `len(journal)`
    and comes back to it with `undo` or, having restored everything itself, `clear`.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._records: list[Record] = []

    def __len__(self) -> int:
        return len(self._records)

    def record_memory(self, address: int, old: bytes) -> None:
        """Note the bytes at a physical address; call before they are written."""
        self._add(MemoryRecord(address, old))

    def record_registers(self, stub: Stub, vcpu: int, old: Mapping[str, int]) -> None:
        """Note registers of a vCPU; call before they are written or the vCPU steps.

        They are restored in the order of `old`.
        """
        self._add(RegisterRecord(vcpu, dict(old), tuple(stub.register_packets(old))))

    def record_folder(self, path: str) -> None:
        """Note a folder of ours that is to be removed should we be killed; call before it is made.

        Raises PtliveError for a path that no line can hold.
        """
        if not path.isprintable():
            raise PtliveError(f"cannot keep files in {path!r}")
        self._send(f"folder {path}")

    def undo(self, stub: Stub, keep: int = 0) -> None:
        """Restore everything noted since the journal had `keep` records, and forget it.

        Raises PtliveError when the connection is lost; the records then stay, for the
        guard.
        """
        memory, registers = undo_order(self._records[keep:])
        if memory:
            stub.write_physical([(record.address, record.old) for record in memory])
        for record in registers:
            stub.write_registers(record.vcpu, record.old)
        self.clear(keep)

    def clear(self, keep: int = 0) -> None:
        """Forget all but the first `keep` records: the guest is as they found it."""
        if len(self._records) > keep:
            self._send(f"keep {keep:x}")
            del self._records[keep:]

    def _add(self, record: Record) -> None:
        self._send(record.line())
        self._records.append(record)
