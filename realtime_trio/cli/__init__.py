"""The command line: ask one question, hold a conversation, or run the simulator.

Needs the extra `cli`.  What the model says goes to standard output and every remark to standard
error.  The exit code is 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C, and 141 when nobody
reads the output any more.
"""

import sys as _sys

from realtime_trio._misuse import without_extra as _without_extra

try:
    # Nothing but the command line imports this package, so this is the place to tell a person what
    # is missing instead of showing a traceback.
    import click as _click  # noqa: F401 - looked for, used by the modules
    import rich.console as _console  # noqa: F401
except ModuleNotFoundError as error:
    _sys.exit(f"realtime-trio: {_without_extra('the command line', str(error.name), 'cli')}")

from realtime_trio.cli.program import main as main
