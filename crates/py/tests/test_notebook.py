"""Progress and results in a notebook, in a real kernel."""

import re
from pathlib import Path

import pytest

import cloven

nbformat = pytest.importorskip("nbformat", reason="needs nbclient")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
pytest.importorskip("ipykernel", reason="needs ipykernel")


def executed(cell, folder, monkeypatch):
    """The outputs of one cell, run with this interpreter and package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(cloven.__file__).parents[1]))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook.cells[0].outputs


def test_a_table_grows_in_the_output_and_stays(tmp_path, monkeypatch):
    cell = (
        "import cloven, numpy\n"
        "run = cloven.run(cloven.template('wdbc', set={'training.epochs': 3}))\n"
        "run.predict(numpy.ones((2, 30)))\n"
        "run"
    )
    outputs = executed(cell, tmp_path, monkeypatch)
    # One output that was updated, then the run: nothing is printed beside them, and a prediction, which has nothing to say, leaves none.
    assert [output.output_type for output in outputs] == ["display_data", "execute_result"], outputs
    table, run = (output.data["text/html"] for output in outputs)
    rows = re.findall(r"<tr><td>(\d+)</td><td>([\d.]+)</td><td>([\d.]+)</td><td>([\d.]+)</td></tr>", table)
    assert [int(epoch) for epoch, *_ in rows] == [1, 2, 3], table
    assert "batch" not in table, "how far it is goes when it is done"
    assert "<table>" in run and "learns" in run
    (folder,) = (tmp_path / "runs").iterdir()
    epochs = [line for line in cloven.Run(folder).metrics() if line["event"] == "epoch" and "loss" in line]
    assert [f"{line['loss']:.4f}" for line in epochs] == [loss for _, loss, *_ in rows]


def test_progress_can_be_left_out_and_an_error_keeps_what_was_shown(tmp_path, monkeypatch):
    quiet = "import cloven\ncloven.run(cloven.template('wdbc', set={'training.epochs': 1}), progress=False)\nNone"
    assert executed(quiet, tmp_path, monkeypatch) == []
    failing = (
        "import cloven\n"
        "def refuse(update):\n"
        "    if update['event'] == 'evaluated': raise LookupError('enough')\n"
        "cloven.run(cloven.template('wdbc', set={'training.epochs': 2}), on_update=refuse)"
    )
    shown = executed(failing, tmp_path, monkeypatch)
    assert [output.output_type for output in shown] == ["display_data", "error"] and shown[1].ename == "LookupError"
    assert "<td>1</td>" in shown[0].data["text/html"] and "batch" not in shown[0].data["text/html"]
