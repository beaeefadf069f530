"""The public names of the reference; see the package's docstring for where each lives."""

from .formats import (
    reserved_in_pde,
    reserved_in_pdpte,
    reserved_in_pml4e,
    reserved_in_pml5e,
    reserved_in_pte,
)
from .rights import access
from .space import enumerate_holes, enumerate_leaves
from .terms import Access, Hole, Leaf, Machine, Outcome, ReadQword, Step, Walk
from .walk import canonical, root_table, translate

__all__ = [
    "Access",
    "Hole",
    "Leaf",
    "Machine",
    "Outcome",
    "ReadQword",
    "Step",
    "Walk",
    "access",
    "canonical",
    "enumerate_holes",
    "enumerate_leaves",
    "reserved_in_pde",
    "reserved_in_pdpte",
    "reserved_in_pml4e",
    "reserved_in_pml5e",
    "reserved_in_pte",
    "root_table",
    "translate",
]
