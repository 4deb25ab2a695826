"""Training and prediction: with all parties on this machine, or as one of them."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cloven import _cloven
from cloven._data import arguments, input_file, source_of
from cloven._errors import ClovenError, Interrupted
from cloven._job import Job, job_of
from cloven._process import program
from cloven._progress import Listener


@dataclass(frozen=True)
class Predictions:
    """What a network says about rows.

    ``values`` is ``[rows, classes]``: the probability of each class or label, of a regression the values. ``classes`` names the columns, ``decided`` is
    each row's class (or its labels, as a list). ``numpy.asarray(predictions)`` is ``values``. ``summary`` is what ``cloven predict --json`` prints."""

    values: Any
    classes: list[str] | None
    decided: list[Any] | None
    summary: dict[str, Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.values)

    def to_pandas(self) -> Any:
        """A frame with a column for each class, and ``class`` where there is one."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=self.classes)
        if self.decided is not None:
            frame.insert(0, "class", self.decided)
        return frame


@dataclass(frozen=True)
class Answers:
    """What a service answered: ``outputs`` is ``[rows, scores]``, ``classes`` each row's class; ``report`` says what it cost."""

    outputs: Any
    classes: list[int] | None
    report: dict[str, Any]


class Run:
    """A finished run, or the folder of one.

    Everything in ``summary.json`` is an attribute: ``run.test_accuracy``, ``run.seconds_per_epoch``, ``run.bytes_per_epoch``, ``run.leaks``, ...
    """

    def __init__(self, folder: str | os.PathLike[str], summary: dict[str, Any] | None = None):
        self.folder = Path(folder)
        if summary is None:
            summary = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        self.summary: dict[str, Any] = summary

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["summary"][name]
        except KeyError:
            raise AttributeError(f"{name!r} is neither an attribute of a run nor in its summary") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.summary]

    @property
    def job(self) -> Job:
        """The job, as it was run."""
        return Job(self.folder / "job.toml")

    def metrics(self) -> list[dict[str, Any]]:
        """What happened in each epoch at each party: ``metrics.jsonl``."""
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def predict(self, x: Any, **options: Any) -> Predictions:
        """What the network says about new rows, under the protection it was trained with: :func:`cloven.predict`."""
        # Without `party`, there are always predictions.
        return cast("Predictions", predict(self.folder, x, **options))

    def state_dict(self, *, client: str | None = None) -> dict[str, Any]:
        """The trained weights of the whole network by PyTorch's names, as numpy arrays: all parties' together, of several clients with those of one."""
        from safetensors.numpy import load_file

        with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
            path = str(Path(folder) / "weights.safetensors")
            _cloven.export(str(self.folder), path, None, client)
            return load_file(path)

    def report(self) -> Path:
        """Writes ``report.html``, one page with curves and tables, and says where it is."""
        return Path(_cloven.report(str(self.folder))[0])

    def audit(self, *, rows: int = 2000, local: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Attacks what the parties recorded (``record=True``), to see what comes back: :func:`cloven.audit`."""
        audit: dict[str, Any] = json.loads(_cloven.audit(str(self.folder), None if local is None else os.fspath(local), rows))
        return audit

    def __repr__(self) -> str:
        accuracy = self.summary.get("test_accuracy")
        accuracy = "" if accuracy is None else f", accuracy {100 * accuracy:.2f} %"
        summary = self.summary
        return f"<cloven.Run {summary.get('protocol')} on {summary.get('dataset')}, {summary.get('epochs')} epochs{accuracy}; {self.folder}>"

    def _repr_html_(self) -> str:
        import html

        shown = ("protocol", "dataset", "epochs", "test_accuracy", "auc", "test_loss", "seconds_per_epoch", "bytes_per_epoch")
        rows = "".join(
            f"<tr><th>{key}</th><td>{self.summary.get(key)}</td></tr>" for key in shown if self.summary.get(key) is not None
        )
        leaks = self.summary.get("leaks") or []
        learns = "".join(f"<li><b>{html.escape(leak['party'])}</b> learns {html.escape(leak['learns'])}</li>" for leak in leaks)
        return f"<table>{rows}</table><ul>{learns}</ul><code>{html.escape(str(self.folder))}</code>"


def run(
    job: Any,
    data: Mapping[str, Any] | Any = None,
    *,
    set: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = "runs",
    run_folder: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    compare_plain: bool = False,
    emulate: str | None = None,
    report: bool = False,
    record: bool | int = False,
    initial_weights: str | os.PathLike[str] | None = None,
    helpers: Mapping[str, Any] | None = None,
    pool: int = 2,
    progress: bool | None = None,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Trains with every party as a process of this machine, over mutual TLS, as ``cloven run`` does.

    ``job`` is a file, a :class:`cloven.Job`, or what makes one. ``data`` says by party where its data are: :class:`cloven.Samples`,
    :class:`cloven.Columns`, ``(x, y)``, a file, or a ``[data]`` table; for a job with one client it may be that client's alone. Without it, each party's
    ``local.toml`` beside the job says so, or the job names a data set that is known.

    Ctrl-C ends it in good order and raises :class:`cloven.Interrupted`; ``resume=interrupted.run_folder`` goes on. ``on_update`` is called with each update of
    each party. ``emulate="100Mbps,rtt=50ms"`` imitates a link; ``record=True`` keeps what each party receives, for :meth:`Run.audit`. ``helpers`` are further
    processes of some parties, by name: :class:`cloven.ray.Helpers`.
    """
    if _is_service(job):
        if data is not None or resume or compare_plain or report or record or initial_weights or helpers:
            raise TypeError(
                "data, resume, compare_plain, report, record, initial_weights and helpers are for jobs that train; this one serves"
            )
        return _run_service(
            job, set=set, runs=runs, run_folder=run_folder, emulate=emulate, pool=pool, progress=progress, on_update=on_update
        )
    job = job_of(job, set)
    lead = _lead(job)
    listener = Listener(on_update, progress, lead)
    with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
        sources = {party: source_of(value, _inside(folder, party)) for party, value in _by_party(data, lead).items()}
        given = arguments(
            program=program(helpers),
            job_folder=job.folder,
            runs=runs,
            run_folder=run_folder,
            resume=resume,
            compare_plain=compare_plain,
            emulate=emulate,
            report=report,
            record=record,
            data=sources,
            initial_weights=initial_weights,
        )
        summary = _listened(listener, lambda: _cloven.run(job._native, given, listener))
    return _finished(listener, summary)


def party(
    job: Any,
    name: str,
    *,
    accept: str,
    local: str | os.PathLike[str] | None = None,
    data: Any = None,
    set: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = "runs",
    run_folder: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    record: bool | int = False,
    helpers: Any = None,
    metrics: str | None = None,
    progress: bool | None = None,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Takes party ``name``'s part in a job, in this process, as ``cloven party`` does; the others take theirs on their own machines.

    ``accept`` is the digest of the job that you consent to (:attr:`cloven.Job.digest`, at least its first 16 digits): look at :attr:`cloven.Job.leaks`
    first. ``local`` is the party's ``local.toml`` (default: ``NAME/local.toml`` beside the job), with key, roster and addresses; ``data`` takes the place of
    what it says about data. ``helpers`` are further processes of this party: :class:`cloven.ray.Helpers`.
    """
    job = job_of(job, set)
    listener = Listener(on_update, progress, name)
    with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
        given = arguments(
            party=name,
            accept=accept,
            local=_local(job, name, local),
            data=None if data is None else source_of(data, Path(folder)),
            runs=runs,
            run_folder=run_folder,
            resume=resume,
            record=record,
            metrics=metrics,
        )
        summary = _listened(listener, lambda: _cloven.party(job._native, given, listener, helpers))
    return _finished(listener, summary)


def predict(
    run_folder: str | os.PathLike[str] | Run,
    x: Any = None,
    *,
    party: str | None = None,
    accept: str | None = None,
    local: str | os.PathLike[str] | None = None,
    client: str | None = None,
    hide_input: bool = False,
    progress: bool | None = None,
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> Predictions | None:
    """What the network of a run says about new rows, under the protection of its training.

    ``x`` is an array ``[rows, sample shape...]``, a frame, or a file; under protocol ``vertical`` a frame or file of each holder by name. With ``party``
    (and ``accept``, the job's digest) it is that party's part only, as ``cloven predict --as``: the one that gets the predictions returns them, others
    return ``None`` when it has them.
    """
    run_folder = run_folder.folder if isinstance(run_folder, Run) else Path(run_folder)
    listener = Listener(on_update, progress, None)
    with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
        common = {"run_folder": run_folder, "client": client, "hide_input": hide_input, "rows": True}
        if party is None:
            if x is None:
                raise TypeError("x is missing: the rows to predict")
            inputs = {
                name: input_file(value, _inside(folder, name or "input"), "rows") for name, value in _by_party(x, "").items()
            }
            given = arguments(program=program(), inputs=inputs, **common)
            summary, rows = _listened(listener, lambda: _cloven.predict(given, listener))
        else:
            if accept is None:
                raise TypeError("accept is missing: the digest of the job that you consent to")
            file = None if x is None else input_file(x, Path(folder), "rows")
            given = arguments(party=party, accept=accept, input=file, local=local, **common)
            summary, rows = _listened(listener, lambda: _cloven.predict_alone(given, listener))
    return None if rows is None else _predictions(json.loads(summary), rows)


def _predictions(summary: dict[str, Any], lines: bytes) -> Predictions:
    import numpy as np

    rows = [json.loads(line) for line in io.BytesIO(lines)]
    summary = {**summary, "rows_in_input": [row["row"] for row in rows]}
    if rows and rows[0].get("probabilities") is not None:
        classes: list[str] = summary["classes"]
        values = [[row["probabilities"][name] for name in classes] for row in rows]
        decided = [row["class"] if row.get("class") is not None else row.get("labels") for row in rows]
        return Predictions(np.asarray(values, dtype=np.float32), classes, decided, summary)
    return Predictions(np.asarray([row["values"] for row in rows], dtype=np.float32), None, None, summary)


def _finished(listener: Listener, summary: str) -> Run:
    assert listener.folder is not None, "a run says where its folder is before it begins"
    return Run(listener.folder, json.loads(summary))


def _listened(listener: Listener, work: Callable[[], Any]) -> Any:
    """Work that a listener hears of; an error of it knows the run folder."""
    try:
        return work()
    except (ClovenError, Interrupted) as error:
        error.run_folder = listener.folder
        raise
    finally:
        listener.end()


def _run_service(
    job: Any, *, set: Any, runs: Any, run_folder: Any, emulate: Any, pool: int, progress: Any, on_update: Any
) -> Run:
    from cloven._job import settings_of

    listener = Listener(on_update, progress, None)
    given = arguments(
        job=job, settings=settings_of(set), program=program(), runs=runs, run_folder=run_folder, emulate=emulate, pool=pool
    )
    summary, folder = _listened(listener, lambda: _cloven.run_service(given, listener))
    return Run(folder, json.loads(summary))


def _is_service(job: Any) -> bool:
    return isinstance(job, (str, os.PathLike)) and _cloven.is_service(os.fspath(job))


def _lead(job: Job) -> str | None:
    return job._native.lead()


def _by_party(data: Any, lead: str | None) -> dict[str, Any]:
    """By party; what stands alone is the lead's, and a `[data]` table is no mapping by party."""
    if data is None:
        return {}
    if isinstance(data, Mapping) and not {"train", "embedded"} & data.keys():
        return dict(data)
    if lead is None:
        raise TypeError("say whose data they are: {party: data}")
    return {lead: data}


def _inside(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def _local(job: Job, name: str, local: Any) -> Path:
    if local is not None:
        return Path(local)
    if job.folder is None:
        raise TypeError("local is missing: the job is no file beside which a NAME/local.toml could be")
    return job.folder / name / "local.toml"
