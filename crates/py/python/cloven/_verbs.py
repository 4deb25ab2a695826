"""The other verbs of the command, as functions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloven import _cloven
from cloven._data import arguments
from cloven._job import job_of
from cloven._process import program
from cloven._progress import Listener
from cloven._run import Run, _listened


def plan(
    job: Any,
    *,
    set: Mapping[str, Any] | None = None,
    link: str | None = None,
    memory: Mapping[str, int] | None = None,
    cuts: Sequence[tuple[int, int]] = (),
    rows: tuple[int, int] | None = None,
    fresh: bool = False,
    progress: bool | None = None,
) -> dict[str, Any]:
    """What a job will cost at each of its possible cuts, before it runs: what ``cloven plan --json`` prints.

    ``cuts`` are ranges of layers, ``(first, end)``; ``memory`` caps parties' memory, in bytes; ``rows`` are each client's training and test rows, where the
    data are not at hand."""
    job = job_of(job, set)
    listener = Listener(None, progress, None)
    given = arguments(
        program=program(),
        job_folder=job.folder or Path("none"),
        link=link,
        memory=dict(memory or {}),
        cuts=[list(cut) for cut in cuts],
        rows=rows,
        fresh=fresh,
    )
    costs: dict[str, Any] = json.loads(_listened(listener, lambda: _cloven.plan(job._native, given, listener)))
    return costs


def audit(
    run_folder: str | os.PathLike[str] | Run, *, rows: int = 2000, local: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Attacks what the parties of a run recorded (``record=True``): what comes back of the data, by attack, each with its level of chance."""
    return _of(run_folder).audit(rows=rows, local=local)


def report(run_folder: str | os.PathLike[str] | Run) -> Path:
    """Writes ``report.html`` into the run folder, also of a run that failed, and says where it is."""
    return _of(run_folder).report()


def export(
    run_folder: str | os.PathLike[str] | Run, path: str | os.PathLike[str], *, party: str | None = None, client: str | None = None
) -> dict[str, Any]:
    """Writes trained weights as safetensors with PyTorch's names; what is in it, and Python that builds the layers and loads them (``snippet``)."""
    contents: dict[str, Any] = json.loads(_cloven.export(str(_of(run_folder).folder), os.fspath(path), party, client))
    return contents


def init(
    folder: str | os.PathLike[str],
    *,
    data: str = "own",
    protocol: str | None = None,
    only: str | None = None,
    clients: Sequence[str] = ("hospital",),
    server: str = "cloud",
) -> list[Path]:
    """Makes a job's folder with keys and settings: every party's, which pin each other, or ``only`` one's, whose ``NAME.identity.toml`` goes to the others."""
    given = arguments(folder=folder, data=data, protocol=protocol, only=only, clients=list(clients), server=server)
    return [Path(path) for path in _cloven.init(given)]


def roster_add(folder: str | os.PathLike[str], identity: str | os.PathLike[str], *, replace: bool = False) -> tuple[str, str]:
    """Pins the identity that another party sent; returns its name and fingerprint, to be compared by telephone."""
    return _cloven.roster_add(os.fspath(folder), os.fspath(identity), replace)


def _of(run_folder: str | os.PathLike[str] | Run) -> Run:
    # Of a run that failed there is no summary.
    return run_folder if isinstance(run_folder, Run) else Run(run_folder, {})
