"""The Python of docs/python.md, as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    template, arrays, _, interrupted = BLOCKS
    names = {}
    exec(template, names)
    printed = capsys.readouterr().out
    area = re.search(r"area under the ROC curve ([0-9.]+)", printed)
    assert area and float(area[1]) > 0.9 and "learns" in printed
    assert len(template.strip().splitlines()) <= 20
    exec(arrays, names)
    assert names["probabilities"].shape == (10, 2) and names["weights"]["4.weight"].shape == (2, 16)
    exec(interrupted, names)


def test_the_page_of_pytorch_runs(tmp_path, monkeypatch):
    nn = pytest.importorskip("torch.nn", reason="needs PyTorch")
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(size=(60, 1, 128)).astype(np.float32)
    y = np.arange(60) % 5
    layers = [
        nn.Conv1d(1, 4, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Conv1d(4, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Flatten(),
        nn.Linear(64, 5),
    ]
    names = {"cloven": __import__("cloven"), "model": nn.Sequential(*layers), "x": x, "y": y}
    exec(BLOCKS[2], names)
    assert names["run"].epochs == 3
