"""The names in an ELF file, of 32 or 64 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x7fELF"


def symbols(path: Path) -> dict[str, int]:
    """Return the addresses of all names. Raises PtliveError for a file that has none."""
    # A twentieth of a second, for this alone.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with open(path, "rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise PtliveError(f"{path} has no symbols")
            return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    except ELFError as error:
        raise PtliveError(f"{path} has no symbols: it is no ELF file") from error
