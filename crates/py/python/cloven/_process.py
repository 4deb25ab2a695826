"""The ``cloven`` command, and how the package starts parties' processes."""

from __future__ import annotations

import os
import signal
import sys

if sys.path and __name__ == "__main__" and os.path.samefile(sys.path[0] or ".", os.path.dirname(os.path.abspath(__file__))):
    # Run as a file: the modules of this package are not to stand in for others of the same name.
    del sys.path[0]

from cloven import _cloven


def program() -> list[str]:
    """What a party's process is started with: this interpreter and this file, whatever the working directory holds."""
    return [sys.executable, os.path.abspath(__file__)]


def main() -> None:
    """The command line."""
    # Cloven ends in good order on both; until it waits for them, they end the process as they do any other program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_cloven.command(["cloven", *sys.argv[1:]], program()))


if __name__ == "__main__":
    main()
