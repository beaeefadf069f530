"""What tests of guests share."""

from tests.tinyos import tinyos

__all__ = ["tinyos"]
