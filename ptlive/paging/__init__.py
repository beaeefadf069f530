"""What a page table is: formats as data, one walker, rights, access checks.

Pure arithmetic on arrays; nothing here knows how a guest is reached.
"""
