"""Instructions as people write them, encoded by binutils: who encodes is not who decodes."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = ".intel_syntax noprefix\n"


def assemble(lines: Sequence[str], bits: int = 64) -> list[bytes]:
    """Return the encoding of each line, all by one run of `as`."""
    return list(_assemble(tuple(lines), bits))


@functools.cache
def _assemble(lines: tuple[str, ...], bits: int) -> tuple[bytes, ...]:
    if shutil.which("as") is None:
        pytest.skip("binutils is missing: scripts/setup installs it")
    source = f"{_HEAD}.code{bits}\n"
    source += "".join(f"line{at}:\n{line}\n" for at, line in enumerate(lines)) + "end:\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.o"
        subprocess.run(["as", "-o", path, "-"], input=source.encode(), check=True)
        with path.open("rb") as file:
            elf = ELFFile(file)
            text, table = (elf.get_section_by_name(name) for name in (".text", ".symtab"))
            assert text is not None
            assert isinstance(table, SymbolTableSection)
            code = text.data()
            at = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    edges = [at[f"line{number}"] for number in range(len(lines))] + [at["end"]]
    return tuple(code[first:last] for first, last in itertools.pairwise(edges))
