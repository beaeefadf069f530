"""What the MMU or QEMU answered: observations, without an opinion about them.

Nothing here knows the walker. `verify` says what to ask and where the answer is
expected; what is recorded is what happened.
"""
