"""Progress of a run: a line that is drawn again on a terminal, a table that grows in a notebook, lines elsewhere."""

from __future__ import annotations

import html
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: A line within an epoch is drawn at most so often.
_EVERY = 0.2


class Listener:
    """What the native half calls: keeps the run folder, passes updates on, shows them."""

    def __init__(self, on_update: Callable[[dict[str, Any]], None] | None, progress: bool | None, lead: str | None):
        self.folder: Path | None = None
        self._on_update = on_update
        self._show = _display(progress, lead)

    def __call__(self, kind: str, text: str) -> None:
        if kind == "folder":
            self.folder = Path(text)
        elif kind == "told":
            self._show.line(text)
        else:
            update = json.loads(text)
            self._show.update(update)
            if self._on_update is not None:
                self._on_update(update)

    def end(self) -> None:
        """No more is to come."""
        self._show.end()


def _display(progress: bool | None, lead: str | None) -> Silent:
    if progress is None:
        progress = in_notebook() or sys.stderr.isatty()
    if not progress:
        return Silent()
    return Notebook(lead) if in_notebook() else Lines(lead)


def in_notebook() -> bool:
    """Whether this is a kernel that can show HTML."""
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell else None
    return shell is not None and hasattr(shell, "kernel")


class Silent:
    """Shows nothing."""

    def update(self, update: dict[str, Any]) -> None:
        """One update of a party."""

    def line(self, text: str) -> None:
        """A sentence."""

    def end(self) -> None:
        """The last thing that is called."""


class Lines(Silent):
    """On stderr; on a terminal the last line is drawn again."""

    def __init__(self, lead: str | None):
        self._lead = lead
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._drawn = 0.0
        self._plan: dict[str, Any] = {}

    def update(self, update: dict[str, Any]) -> None:
        party, event = update["party"], update["event"]
        said = sentence(update)
        if said:
            self.line(f"{party}: {said}")
        if party != self._lead:
            return
        if event == "started":
            self._plan = update
        elif event == "batch" and self._plan and self._terminal and time.monotonic() - self._drawn > _EVERY:
            self._drawn = time.monotonic()
            epochs, batches = self._plan["epochs"], self._plan["batches"]
            loss = f", loss {update['loss']:.4f}" if update.get("loss") is not None else ""
            sys.stderr.write(f"\r\x1b[K{party}: epoch {update['epoch']} of {epochs}, batch {update['batch']} of {batches}{loss}")
            sys.stderr.flush()
            self._open = True

    def line(self, text: str) -> None:
        self.end()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._open:
            sys.stderr.write("\r\x1b[K")
            self._open = False


class Notebook(Silent):
    """A table with a row for each epoch, in the cell's output."""

    def __init__(self, lead: str | None):
        self._lead = lead
        self._rows: dict[int, dict[str, str]] = {}
        self._notes: list[str] = []
        self._now = ""
        self._plan: dict[str, Any] = {}
        self._drawn = 0.0
        self._cell: Any = None

    def update(self, update: dict[str, Any]) -> None:
        party, event = update["party"], update["event"]
        if event in ("lost", "restarted", "warning", "worker-dropped"):
            self._notes.append(f"{party}: {sentence(update)}")
        if party != self._lead:
            return
        if event == "started":
            self._plan = update
        elif event == "batch" and self._plan:
            self._now = f"epoch {update['epoch']} of {self._plan['epochs']}, batch {update['batch']} of {self._plan['batches']}"
            if time.monotonic() - self._drawn < _EVERY:
                return
        elif event == "epoch":
            row = self._rows.setdefault(update["epoch"], {})
            row["loss"] = _number(update.get("loss"))
            row["seconds"] = f"{update['seconds']:.1f}"
        elif event == "evaluated":
            row = self._rows.setdefault(update["epoch"], {})
            row["accuracy"] = _number((update.get("evaluation") or {}).get("accuracy"))
        self._draw()

    def line(self, text: str) -> None:
        self._notes.append(text)
        self._draw()

    def end(self) -> None:
        self._now = ""
        self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        self._drawn = time.monotonic()
        columns = ("loss", "seconds", "accuracy")
        head = "".join(f"<th>{name}</th>" for name in ("epoch", *columns))
        rows = "".join(
            f"<tr><td>{epoch}</td>" + "".join(f"<td>{row.get(name, '')}</td>" for name in columns) + "</tr>"
            for epoch, row in sorted(self._rows.items())
        )
        table = f"<table><tr>{head}</tr>{rows}</table>" if self._rows else ""
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in [*self._notes, self._now] if note)
        if self._cell is not None:
            self._cell.update(HTML(table + notes))
        elif table or notes:
            # Not before there is something: an empty output stays in the notebook.
            self._cell = display(HTML(table + notes), display_id=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def sentence(update: dict[str, Any]) -> str | None:
    """An update in words, where a person wants to know of it."""
    event = update["event"]
    if event == "started":
        return f"{update['train_rows']} training rows, {update['test_rows']} test rows, {update['batches']} batches an epoch"
    if event == "epoch":
        loss = f": loss {update['loss']:.4f}" if update.get("loss") is not None else ""
        return f"epoch {update['epoch']}{loss}, {update['seconds']:.1f} s" if loss else None
    if event == "evaluated" and update.get("evaluation"):
        evaluation = update["evaluation"]
        parts = [f"test loss {evaluation['loss']:.4f}"]
        if evaluation.get("accuracy") is not None:
            parts.append(f"accuracy {100 * evaluation['accuracy']:.2f} %")
        return f"epoch {update['epoch']}: {', '.join(parts)}"
    if event == "listening":
        return f"listening on {update['address']}"
    if event == "waiting":
        return f"waiting for {update['peer']} at {update['address']}"
    if event == "turned-away":
        return f"turned away a connection from {update['from']}: {update['why']}"
    if event == "lost":
        return f"{update['why']}; waiting up to {update['seconds']} s for {update['peer']} to come back"
    if event == "restarted":
        return "its process was killed; started again"
    if event == "warning":
        return f"WARNING: {update['text']}"
    if event == "worker-dropped":
        return f"going on without {update['worker']}: {update['why']}"
    if event == "metrics":
        return f"metrics at http://{update['address']}/metrics"
    return None
