"""The rules of paging held against an MMU, on page tables made for that purpose.

A guest's own tables cannot show that the rules are right: upper entries of real
kernels grant everything, and no reserved bit is ever set. So these tables hold
an entry in every variant, and whether each access happens, how it faults, where
it arrives and what the MMU writes into the tables is compared with the walker.
"""
