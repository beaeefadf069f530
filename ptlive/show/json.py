"""JSON on standard output."""

from __future__ import annotations

import json
from typing import Any

import click


def print_json(value: dict[str, Any]) -> None:
    """Print one object; text from a guest is escaped to ASCII by JSON itself."""
    click.echo(json.dumps(value, indent=2))
