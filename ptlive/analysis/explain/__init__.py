"""What page tables say of an instruction's accesses, and of a page fault that was taken.

Nothing here reads memory of its own: whoever asks gives an address space to translate in.
"""
