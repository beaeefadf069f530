"""What is wrong, or weak, in the page tables of a guest: rules, one topic in a file.

`rules` is the table of all of them, `run` applies them, `design` explains what a known
system does on purpose.
"""
