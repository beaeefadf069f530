"""The one error type that a user may see."""

from __future__ import annotations


class PtliveError(Exception):
    """Something that ptlive could not do, told in one clear sentence for its user.

    The command line prints the sentence on stderr and exits with status 2.
    """
