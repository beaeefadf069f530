"""Files that are seen under their name when they are whole, and only then."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole(path: Path, *, force: bool = True, private: bool = False) -> Iterator[Path]:
    """Yield an empty file beside `path` that takes its name if the `with` block ends well.

    force: replace what has that name; private: only this user may read it
    Raises PtliveError if it cannot be written, or there is something that is not to be replaced.
    """
    check_free(path, force=force)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with writing(path):
            os.close(os.open(draft, flags, 0o600 if private else 0o666))
        yield draft
        check_free(path, force=force)  # again: it was long ago
        with writing(path):
            draft.replace(path)
    finally:
        with suppress(OSError):  # it is not there any more, or never was
            draft.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that others see all of it or nothing. Raises PtliveError."""
    with whole(path) as draft, writing(path):
        draft.write_bytes(data)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make a PtliveError of what the system says against writing a file."""
    try:
        yield
    except OSError as error:
        raise PtliveError(f"cannot write {path}: {error.strerror or error}") from error


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise PtliveError if there is something of that name, and it is not to be replaced."""
    if os.path.lexists(path) and (not force or not path.is_file()):
        raise PtliveError(
            f"{path} is there already: --force replaces it"
            if path.is_file()
            else f"{path} is no file, and is not replaced"
        )
