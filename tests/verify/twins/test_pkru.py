"""Values of PKRU under which the twin is asked."""

from __future__ import annotations

from ptlive.paging.access import Controls
from ptlive.verify.twins import pkru


def test_each_key_is_told_under_each_combination_of_ad_and_wd() -> None:
    values = pkru.values(Controls(pke=True, pkru=None))
    for key in range(16):
        assert {value >> 2 * key & 3 for value in values} == {0, 1, 2, 3}
    assert values[0] & 3 == 0
    assert all(value < 1 << 32 for value in values)


def test_a_known_value_is_the_only_one() -> None:
    assert pkru.values(Controls(pke=True, pkru=0x24)) == (0x24,)
    assert pkru.values(Controls(pke=False, pkru=None)) == (0,)
