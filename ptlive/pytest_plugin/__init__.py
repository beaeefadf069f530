"""The pytest plugin: kernels booted by fixtures, assertions about what they have mapped.

README.md in this folder is its page. pytest loads it wherever ptlive is installed, so that
importing it must cost next to nothing: numpy and the rest of ptlive come when they are used.
The fixtures and hooks are here for pytest to find; what suites import is in __all__.
"""

from __future__ import annotations

from ptlive.pytest_plugin.allowed import assert_allowed, assert_faults
from ptlive.pytest_plugin.audited import assert_audit_clean, assert_no_wx
from ptlive.pytest_plugin.booter import Booter
from ptlive.pytest_plugin.compared import assert_unchanged, assert_verified
from ptlive.pytest_plugin.fixtures import ptlive_boot as ptlive_boot
from ptlive.pytest_plugin.fixtures import ptlive_guest as ptlive_guest
from ptlive.pytest_plugin.fixtures import ptlive_space as ptlive_space
from ptlive.pytest_plugin.guest import BootedGuest
from ptlive.pytest_plugin.hooks import pytest_addoption as pytest_addoption
from ptlive.pytest_plugin.hooks import pytest_assertrepr_compare as pytest_assertrepr_compare
from ptlive.pytest_plugin.hooks import pytest_configure as pytest_configure
from ptlive.pytest_plugin.hooks import pytest_runtest_makereport as pytest_runtest_makereport
from ptlive.pytest_plugin.mapped import assert_mapped, assert_not_mapped
from ptlive.pytest_plugin.regions import assert_regions

__all__ = [
    "BootedGuest",
    "Booter",
    "assert_allowed",
    "assert_audit_clean",
    "assert_faults",
    "assert_mapped",
    "assert_no_wx",
    "assert_not_mapped",
    "assert_regions",
    "assert_unchanged",
    "assert_verified",
]
