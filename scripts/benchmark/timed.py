"""Run by itself: run a command, and print its seconds and the most memory that it had, in KB.

The kernel counts for a process what it had before exec(2), a copy of its parent. So the parent
has to be as small as this one.
"""

import os
import sys
import time

begun = time.perf_counter()
# Output goes nowhere; what is wrong is told on stderr, which is inherited.
actions = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begun, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
