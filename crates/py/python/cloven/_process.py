"""The ``cloven`` command, and how the package starts parties' processes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.path and __name__ == "__main__" and os.path.samefile(sys.path[0] or ".", os.path.dirname(os.path.abspath(__file__))):
    # Run as a file: the modules of this package are not to stand in for others of the same name.
    del sys.path[0]

from cloven import _cloven

#: Before the command line of a party's process: what makes parties' helpers, as JSON by name.
_HELPERS = "--with-helpers"


def program(helpers: Mapping[str, Any] | None = None) -> list[str]:
    """What a party's process is started with: this interpreter and this file, whatever the working directory holds; and the parties' helpers."""
    line = [sys.executable, os.path.abspath(__file__)]
    described = {name: of_party.describe() for name, of_party in (helpers or {}).items()}
    if described:
        import json

        line += [_HELPERS, json.dumps(described)]
    return line


def main() -> None:
    """The command line."""
    # Cloven ends in good order on both; until it waits for them, they end the process as they do any other program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = sys.argv[1:]
    described: dict[str, Any] = {}
    if arguments[:1] == [_HELPERS]:
        import json

        described, arguments = json.loads(arguments[1]), arguments[2:]

    def helpers(party: str) -> Any:
        if party not in described:
            return None
        from cloven.ray import Helpers

        return Helpers(**described[party])

    sys.exit(_cloven.command(["cloven", *arguments], program(), helpers if described else None))


if __name__ == "__main__":
    main()
