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
