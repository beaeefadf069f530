"""The guests that come with ptlive: recipes that the launcher can boot."""

from __future__ import annotations

from ptlive.errors import PtliveError
from ptlive.guests import linux, memtest, menu, ovmf, xen
from ptlive.guests.recipe import Boot, Recipe

__all__ = ["RECIPES", "Boot", "Recipe", "recipe"]

_ALL = (menu.RECIPE, linux.RECIPE, ovmf.RECIPE, xen.RECIPE, memtest.RECIPE)
RECIPES = {made.name: made for made in _ALL}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name. Raises PtliveError when there is none."""
    try:
        return RECIPES[name]
    except KeyError:
        raise PtliveError(f"no guest '{name}': there are {', '.join(RECIPES)}") from None
