"""Jobs: what all parties agree on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloven import _cloven


class Job:
    """A checked job.

    From a file, from TOML text, or from the sections of one as keyword arguments or a mapping::

        Job("ecg/job.toml", set={"training.epochs": 3})
        Job(
            protocol="encrypted-activation",
            parties={"hospital": "client", "cloud": "server"},
            data={"name": "beats", "shape": [1, 128], "classes": 5},
            model={"server_layers": [4], "layers": [...]},
            training={"epochs": 10, "batch": 4, "loss": "cross-entropy", "optimiser": {"type": "adamw", "learning_rate": 1e-3}},
        )

    ``set`` changes values by their dotted names, as ``--set`` does. What is wrong raises :class:`cloven.ConfigurationError`.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any] | Job | None = None,
        /,
        *,
        set: Mapping[str, Any] | None = None,
        **sections: Any,
    ):
        settings = settings_of(set)
        if isinstance(source, Mapping):
            sections = {**source, **sections}
            source = None
        self.folder: Path | None = None
        """The folder of the job file: a ``NAME/local.toml`` in it is party NAME's."""
        if isinstance(source, Job):
            self.folder = source.folder
            text, place = source.to_toml(), "job"
        elif source is None:
            text, place = _cloven.toml_of(json.dumps(sections)), "job"
        elif isinstance(source, str) and "\n" in source:
            text, place = source, "job"
        else:
            path = Path(source)
            self.folder = path.parent
            self._native = _cloven.Job.read(str(path), settings)
            return
        if source is not None and sections:
            raise TypeError("sections are for a job without a file; change single values with set={'training.epochs': 3}")
        self._native = _cloven.Job.parse(text, place, settings)

    @property
    def digest(self) -> str:
        """What parties compare before they begin, and operators accept: 64 hexadecimal digits."""
        return self._native.digest()

    @property
    def leaks(self) -> dict[str, str]:
        """What each party learns by running the job."""
        leaks: dict[str, str] = {}
        for leak in json.loads(self._native.leaks()):
            earlier = leaks.get(leak["party"])
            leaks[leak["party"]] = f"{earlier}; {leak['learns']}" if earlier else leak["learns"]
        return leaks

    @property
    def parties(self) -> dict[str, str]:
        """The role of each party."""
        parties: dict[str, str] = self.to_dict()["parties"]
        return parties

    def to_dict(self) -> dict[str, Any]:
        """All sections, defaults filled in."""
        sections: dict[str, Any] = json.loads(self._native.to_json())
        return sections

    def to_toml(self) -> str:
        """The job file's text."""
        return self._native.to_toml()

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the job file, for the other parties, and returns its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_toml(), encoding="utf-8")
        return path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        job = self.to_dict()
        parties = ", ".join(f"{name} ({role})" for name, role in job["parties"].items())
        return f"<cloven.Job {job['protocol']} on {job['data']['name']}: {parties}; {self.digest[:16]}>"


def template(data: str, protocol: str | None = None, *, set: Mapping[str, Any] | None = None) -> Job:
    """The job that ``cloven init --data DATA`` starts from: ``"wdbc"`` and ``"digits"`` have their data inside the package, others need files.

    ``data="own"`` is one to be changed for data of one's own.
    """
    return Job(_cloven.template(data, protocol), set=set)


def settings_of(changes: Mapping[str, Any] | None) -> list[str]:
    """``KEY=VALUE`` for each change, in TOML."""
    return [f"{key}={_inline(value)}" for key, value in (changes or {}).items()]


def _inline(value: Any) -> str:
    """A value on one line of TOML, which writes strings and numbers as JSON does."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_inline(of_key)}" for key, of_key in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


def job_of(job: Any, set: Mapping[str, Any] | None = None) -> Job:
    """What a caller gave as a job."""
    return job if isinstance(job, Job) and not set else Job(job, set=set)
