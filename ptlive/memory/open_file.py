"""An open file that several may use, and that is closed when the last one is gone."""

from __future__ import annotations

import os
import weakref


class OpenFile:
    """Owns a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)
        """Close it now; twice is harmless."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor
