"""Run by a Python that has drgn: translate addresses, and say how long that took.

A question in JSON comes on stdin, see drgn_peer.py; the answer goes to stdout.
"""

import json
import sys
import time

import drgn

# What drgn.helpers.linux.mm.follow_phys() calls, without the objects of the kernel's debug
# information that it is usually given.
from _drgn import _linux_helper_follow_phys as follow_phys

question = json.load(sys.stdin)
# drgn takes a guest over QMP for Linux only if QEMU has `-device vmcoreinfo` and the guest's
# driver for it has filled it. So one program reads memory over QMP, and gives it to another.
guest = drgn.Program()
guest.set_qemu_qmp(question["qmp"])
program = drgn.Program(platform=drgn.host_platform)
program.set_linux_kernel_custom(question["vmcoreinfo"], False)
program.add_memory_segment(
    0, 1 << 52, lambda address, count, offset, physical: guest.read(offset, count, True), True
)
root, found = question["root"], []
begun = time.perf_counter()
for address in question["addresses"]:
    try:
        found.append(follow_phys(program, root, address))
    except drgn.FaultError:
        found.append(None)
seconds = time.perf_counter() - begun
json.dump({"seconds": seconds, "found": found}, sys.stdout)
