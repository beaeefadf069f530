"""ptlive inside gdb: its commands on gdb's own connection. `python import ptlive.gdb` loads it.

See `README.md`. Its modules can be imported nowhere else.
"""

from ptlive.gdb.packages import prepare

prepare()

from ptlive.gdb.start import start  # noqa: E402 - what it imports is only found now

start()
