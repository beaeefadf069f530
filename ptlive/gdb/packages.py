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
# The parent of the package `ptlive`: the top of a checkout, or a site-packages.
_HOME = Path(__file__).resolve().parents[2]
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# As gdb does for its own threads (gdbsupport/block-signals.h): what it waits for is not to be
# delivered to a thread of a library.
_SIGNALS = (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGWINCH)


def prepare() -> None:
    """Make the libraries that ptlive uses known. Raises gdb.GdbError if they are not found."""
    for place in (None, *_places()):
        if place is not None and str(place) not in sys.path:
            sys.path.append(str(place))
        if all(importlib.util.find_spec(name) for name in _NEEDED):
            break
    else:
        raise gdb.GdbError(
            f"ptlive: gdb's Python {sys.version_info.major}.{sys.version_info.minor} does not "
            f"find {', '.join(n for n in _NEEDED if not importlib.util.find_spec(n))}: install "
            "ptlive for this version of Python, or name the site-packages that has them by "
            f"${VARIABLE}"
        )
    # Libraries start threads when they are imported (numpy's OpenBLAS), which inherit this.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        raise gdb.GdbError(f"ptlive: numpy does not load in gdb's Python: {error}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
