"""What can go wrong, by the exit code that the ``cloven`` command has for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class ClovenError(Exception):
    """Any failure of Cloven.

    ``str(error)`` is one sentence. The attributes say the same for programs, where there is something to say:

    * ``exit_code``: what the command exits with,
    * ``party``: whose message, certificate, absence or process it is,
    * ``round``: the round that whoever reports was in,
    * ``expected`` and ``got``: what would have been right, and what was there instead,
    * ``run_folder``: the folder of the run that failed; :func:`cloven.run` and :func:`cloven.party` go on from it with ``resume``.
    """

    exit_code: int = 1

    def __init__(
        self,
        message: str,
        *,
        exit_code: int | None = None,
        party: str | None = None,
        round: int | None = None,
        expected: Any = None,
        got: Any = None,
    ) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code
        self.party = party
        self.round = round
        self.expected = expected
        self.got = got
        self.run_folder: Path | None = None


class ConfigurationError(ClovenError, ValueError):
    """A job, a party's settings or the model is invalid."""

    exit_code = 3


class DataError(ClovenError, ValueError):
    """The data cannot be read or do not fit the job."""

    exit_code = 4


class IdentityError(ClovenError):
    """Key, certificate or roster; another job's digest; the job was not accepted."""

    exit_code = 5


class PartyUnreachable(ClovenError, ConnectionError):
    """A party is unreachable, absent, late or gone."""

    exit_code = 6


class ProtocolViolation(ClovenError):
    """A party sent something that the protocol does not allow."""

    exit_code = 7


class Diverged(ClovenError, ArithmeticError):
    """Training diverged, or a result left the range of the encryption."""

    exit_code = 8


class MemoryCapReached(ClovenError, MemoryError):
    """A party's memory cap was reached."""

    exit_code = 9


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM. The run can be gone on with: ``resume=interrupted.run_folder``."""

    exit_code = 130
    run_folder: Path | None = None


_BY_CODE = {
    error.exit_code: error
    for error in (
        ConfigurationError,
        DataError,
        IdentityError,
        PartyUnreachable,
        ProtocolViolation,
        Diverged,
        MemoryCapReached,
    )
}


def of_failure(failure: str) -> BaseException:
    """The exception for what the native half reports, as JSON."""
    report = json.loads(failure)
    message = report.pop("message")
    if report["exit_code"] == Interrupted.exit_code:
        return Interrupted(message)
    return _BY_CODE.get(report["exit_code"], ClovenError)(message, **report)
