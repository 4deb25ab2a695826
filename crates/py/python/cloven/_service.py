"""Secure inference as a service: servers, and users who ask."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloven import _cloven
from cloven._data import arguments, input_file
from cloven._job import settings_of
from cloven._progress import Listener
from cloven._run import Answers, _listened


class ServiceJob:
    """A checked job of protocol ``secure-inference``: its ``digest``, which servers and users accept, what each of them ``leaks`` says it learns, and
    its ``sections``."""

    def __init__(self, path: str | os.PathLike[str], *, set: Mapping[str, Any] | None = None):
        read = json.loads(_cloven.service_job(os.fspath(path), settings_of(set)))
        self.path = Path(path)
        self.digest: str = read["digest"]
        self.leaks: list[dict[str, str]] = read["leaks"]
        self.sections: dict[str, Any] = read["job"]

    def __repr__(self) -> str:
        parties = ", ".join(f"{name} ({role})" for name, role in self.sections["parties"].items())
        return f"<cloven.ServiceJob on {self.sections['data']['name']}: {parties}; {self.digest[:16]}>"


def share(model: str | os.PathLike[str], job: str | os.PathLike[str], folder: str | os.PathLike[str] = "shares") -> list[Path]:
    """Makes a share of a trained network for every server of a service, ``NAME.share`` in ``folder``: of an ONNX file, or of safetensors with the layers of
    the job's ``[trial]``. All together they are the network; all but one say nothing about it."""
    return [Path(path) for path in json.loads(_cloven.share(os.fspath(model), os.fspath(job), os.fspath(folder)))["shares"]]


def serve(
    job: str | os.PathLike[str],
    name: str,
    *,
    accept: str,
    share: str | os.PathLike[str] | None = None,
    local: str | os.PathLike[str] | None = None,
    set: Mapping[str, Any] | None = None,
    pool: int = 4,
    stop_after: int | None = None,
    progress: bool | None = None,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Serves as server ``name`` of a service until it is interrupted, or has answered ``stop_after`` inferences; returns the report.

    ``share`` is this server's share of the network (default: the one that ``local.toml`` names, or ``shares/NAME.share`` beside the job)."""
    folder = Path(job).parent
    if share is None and (folder / "shares" / f"{name}.share").exists():
        share = folder / "shares" / f"{name}.share"
    listener = Listener(on_update, progress, name)
    given = arguments(
        job=job,
        settings=settings_of(set),
        party=name,
        accept=accept,
        local=local or folder / name / "local.toml",
        share=share,
        pool=pool,
        stop_after=stop_after,
        input=None,
    )
    report: dict[str, Any] = json.loads(_listened(listener, lambda: _cloven.serve(given, listener)))
    return report


def ask(
    job: str | os.PathLike[str],
    name: str,
    x: Any,
    *,
    accept: str,
    local: str | os.PathLike[str] | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> Answers:
    """Asks a service about rows, as user ``name``: no server sees them, nor the answers."""
    import numpy as np

    listener = Listener(on_update, progress, name)
    with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
        given = arguments(
            job=job,
            settings=settings_of(set),
            party=name,
            accept=accept,
            local=local or Path(job).parent / name / "local.toml",
            share=None,
            pool=0,
            stop_after=None,
            input=None if x is None else input_file(x, Path(folder), "rows"),
        )
        answer = json.loads(_listened(listener, lambda: _cloven.ask(given, listener)))
    return Answers(np.asarray(answer["outputs"], dtype=np.float32), answer["classes"], answer["report"])
