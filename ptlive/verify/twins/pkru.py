"""Under which values of PKRU the twin is asked.

Where the guest's own is not known, under four: each key has every combination of AD
and WD once (SDM vol. 3A 4.6.2). The stub and the monitor do not tell PKRU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging import rights
from ptlive.paging.access import key_of

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.arrays import Index
    from ptlive.paging.access import AccessRules
    from ptlive.paging.translate import Translations

KEYS = 16
#: Of the pages with key 0, which nearly all have, so many are asked under each further value.
OF_KEY_0 = 1 << 12


def values(controls: AccessRules) -> tuple[int, ...]:
    """Return the values of PKRU to ask under: the known one, or those that tell most.

    Under the first of them key 0, which Linux gives to ordinary memory, allows all.
    """
    if not controls.pke:
        return (0,)
    if controls.pkru is not None:
        return (controls.pkru,)
    return tuple(sum((key + turn) % 4 << 2 * key for key in range(KEYS)) for turn in range(4))


def depending(translations: Translations, kind: AccessKind, random: np.random.Generator) -> Index:
    """Return the rows whose outcome depends on PKRU: data of user pages, few of key 0."""
    if kind.access.value == "fetch":
        return np.zeros(0, dtype=np.intp)
    user = rights.granted(translations.fmt, translations.rights, "user")
    rows = np.flatnonzero(translations.mapped & user)
    key = key_of(translations.take(rows))
    common = rows[key == 0]
    if common.size > OF_KEY_0:
        common = random.choice(common, OF_KEY_0, replace=False)
    return np.sort(np.concatenate([rows[key != 0], common]))
