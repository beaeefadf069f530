"""The forked twin: a short-lived private QEMU whose MMU executes millions of accesses.

It maps a stopped guest's RAM copy-on-write, so whatever is done in it, the guest
never notices. `fork` says what is forked, `script` what is to be done, `run` does
it; `ask` is the usual script: paint frames, make every kind of access, look at
the tables. In QEMU runs the prober of guest/prober, in place of firmware.
"""
