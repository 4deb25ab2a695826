"""Split learning and inference across parties that may not show each other data, labels or model.

A *job* says what all parties agree on: protocol, parties, facts about the data, network and cut, training. :func:`run` trains with every party as a
process of this machine; :func:`party` takes one party's part, with the others on their own machines. Arrays are numpy's; pandas frames and torch tensors
are taken too, without either being needed.

    >>> import cloven
    >>> run = cloven.run(cloven.template("wdbc", "encrypted-activation"))      # breast-cancer data inside the package
    >>> run.test_accuracy
    0.9649122807017544
    >>> run.predict(x)                                                         # [rows, classes]: probabilities
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloven._cloven import __version__
    from cloven._data import Columns, Samples
    from cloven._errors import (
        ClovenError,
        ConfigurationError,
        DataError,
        Diverged,
        IdentityError,
        Interrupted,
        MemoryCapReached,
        PartyUnreachable,
        ProtocolViolation,
    )
    from cloven._job import Job, template
    from cloven._run import Answers, Predictions, Run, party, predict, run
    from cloven._service import ServiceJob, ask, serve, share
    from cloven._split import SplitJob, split
    from cloven._verbs import audit, export, init, plan, report, roster_add

# Where the names are, each imported when it is first asked for: a party's process needs none of them, and begins sooner.
_MODULES = {
    "_cloven": ("__version__",),
    "_data": ("Columns", "Samples"),
    "_errors": (
        "ClovenError",
        "ConfigurationError",
        "DataError",
        "Diverged",
        "IdentityError",
        "Interrupted",
        "MemoryCapReached",
        "PartyUnreachable",
        "ProtocolViolation",
    ),
    "_job": ("Job", "template"),
    "_run": ("Answers", "Predictions", "Run", "party", "predict", "run"),
    "_service": ("ServiceJob", "ask", "serve", "share"),
    "_split": ("SplitJob", "split"),
    "_verbs": ("audit", "export", "init", "plan", "report", "roster_add"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "Answers",
    "ClovenError",
    "Columns",
    "ConfigurationError",
    "DataError",
    "Diverged",
    "IdentityError",
    "Interrupted",
    "Job",
    "MemoryCapReached",
    "PartyUnreachable",
    "Predictions",
    "ProtocolViolation",
    "Run",
    "Samples",
    "ServiceJob",
    "SplitJob",
    "__version__",
    "ask",
    "audit",
    "export",
    "init",
    "party",
    "plan",
    "predict",
    "report",
    "roster_add",
    "run",
    "serve",
    "share",
    "split",
    "template",
]
