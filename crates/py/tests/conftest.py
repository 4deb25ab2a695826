"""Data that every test may take."""

import gzip
from pathlib import Path

import numpy as np
import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--with-torch", action="store_true", help="PyTorch is there: what needs it fails without, instead of being left out"
    )


def pytest_configure(config):
    if config.getoption("--with-torch"):
        import torch  # noqa: F401


#: The data inside the tool, as files of the repository.
EMBEDDED = Path(__file__).resolve().parents[3] / "data"


@pytest.fixture(scope="session")
def digits():
    """The handwritten digits: x `[1797, 1, 8, 8]` in 0..=1, and y."""
    with gzip.open(EMBEDDED / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float32)
    return table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].astype(np.int64)


@pytest.fixture
def digits_job():
    """A job on them that takes a few seconds."""
    return {
        "protocol": "plain",
        "parties": {"hospital": "client", "cloud": "server"},
        "data": {"name": "own", "shape": [1, 8, 8], "classes": 10},
        "model": {
            "server_layers": [1],
            "layers": [{"type": "flatten"}, {"type": "dense", "outputs": 32}, {"type": "relu"}, {"type": "dense", "outputs": 10}],
        },
        "training": {
            "epochs": 3,
            "batch": 32,
            "loss": "cross-entropy",
            "optimiser": {"type": "adamw", "learning_rate": 0.005},
        },
    }
