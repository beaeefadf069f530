"""Finds the libraries that ptlive uses, for the Python that gdb brings.

That one need not know them: ptlive may be installed in an environment of its own.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gdb

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What `ptlive gdb` names the site-packages by that it runs with itself (cli/gdb.py).
VARIABLE = "PTLIVE_PACKAGES"
#: Libraries without which no command runs.
_NEEDED = ("numpy", "click", "rich")
#: Those of single commands: explain, --symbols, export.
_USED = ("capstone", "elftools", "zstandard")
# As in pyproject.toml.
_OLDEST_PYTHON = (3, 11)
# The parent of the package `ptlive`: the top of a checkout, or a site-packages.
_HOME = Path(__file__).resolve().parents[2]
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# As gdb does for its own threads (gdbsupport/block-signals.h): what it waits for is not to be
# delivered to a thread of a library.
_SIGNALS = (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGWINCH)


def prepare() -> None:
    """Make the libraries that ptlive uses known. Raises gdb.GdbError if they are not found."""
    if not hasattr(gdb, "RemoteTargetConnection") or sys.version_info < _OLDEST_PYTHON:
        python = ".".join(map(str, sys.version_info[:2]))
        needed = ".".join(map(str, _OLDEST_PYTHON))
        raise gdb.GdbError(
            f"ptlive: gdb 12 or newer, with Python {needed} or newer, is needed; this is gdb "
            f"{gdb.VERSION} with Python {python}"
        )
    for place in (None, *_places()):
        if place is not None and str(place) not in sys.path:
            sys.path.append(str(place))
        if not _missing((*_NEEDED, *_USED)):
            break
    if _missing(_NEEDED):
        raise gdb.GdbError(
            f"ptlive: gdb's Python {sys.version_info.major}.{sys.version_info.minor} does not "
            f"find {', '.join(_missing(_NEEDED))}: install ptlive for this version of Python, "
            f"or name the site-packages that has them by ${VARIABLE}"
        )
    # Libraries start threads when they are imported (numpy's OpenBLAS), which inherit this.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        raise gdb.GdbError(f"ptlive: numpy does not load in gdb's Python: {error}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _missing(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]


def _places() -> Iterator[Path]:
    """Yield folders in which the libraries may be, for this very version of Python."""
    inside = Path("lib", _VERSION, "site-packages")
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    environments = [os.environ.get("VIRTUAL_ENV", "")]
    for place in (
        *(Path(one) for one in named if one),
        _HOME,
        _HOME / ".venv" / inside,
        *(Path(one) / inside for one in environments if one),
    ):
        if _compiled_for_us(place):
            yield place


def _compiled_for_us(place: Path) -> bool:
    """Tell whether a folder has a numpy that this Python can load."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return any(place.glob(f"numpy/*core/_multiarray_umath{suffix}"))
