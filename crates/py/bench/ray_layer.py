"""An encrypted layer of 8192 x 8192 at a server with Ray actors for helpers, over the same in one process: seconds of training, on the same cores.

Runs the job with and without helpers in turn and prints the medians of the paired ratios: other programs on the machine slow both of a pair. The interpreter
is the one this file is run with; it needs the package and Ray. Everything is measured, the client's work too: encryption of the steps, reading of outputs. The
rows are the digits inside the package, 128 times side by side: the time of a product does not depend on its numbers.
"""

import argparse
import gzip
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray

import cloven
import cloven.ray

DIGITS = Path(__file__).resolve().parents[3] / "data" / "digits.csv.gz"


def job(width, batch, epochs):
    dense = {"type": "dense", "outputs": width}
    return cloven.Job(
        protocol="encrypted-model",
        parties={"hospital": "client", "cloud": "server"},
        data={"name": "own", "shape": [width], "classes": 10},
        model={"server_layers": [0], "layers": [dense, {"type": "relu"}, {"type": "dense", "outputs": 10}]},
        training={
            "epochs": epochs,
            "batch": batch,
            "loss": "cross-entropy",
            "optimiser": {"type": "sgd", "learning_rate": 1e-4},
            "checkpoint_every": 0,
        },
        # Rows this long have more noise than the usual bound allows; the time does not depend on it.
        encryption={"precision": 1.0},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8192, help="inputs and outputs of the layer (default: 8192)")
    parser.add_argument("--helpers", type=int, default=2, help="helpers, of a thread each (default: 2)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with gzip.open(DIGITS, "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float32)
    rows = given.batch * given.batches
    x = np.tile(table[: rows + given.batch, :64], (1, given.width // 64))
    y = table[: rows + given.batch, 64].astype(int)
    data = (x[:rows], y[:rows], x[rows:], y[rows:])
    layer = job(given.width, given.batch, 2)
    ray.init(num_cpus=given.helpers, log_to_driver=False)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(given.pairs):
            measured = {}
            # Who is first changes.
            for helped in (False, True) if pair % 2 == 0 else (True, False):
                helpers = {"cloud": cloven.ray.Helpers(given.helpers)} if helped else None
                run = cloven.run(layer, data, runs=folder, helpers=helpers, progress=False)
                ends = [line["at"] for line in run.metrics() if line["event"] == "epoch" and line["party"] == "cloud"]
                # Of the second epoch: in the first, helpers are given the layer.
                measured[helped] = (ends[1] - ends[0]) / given.batches
            ratios.append(measured[True] / measured[False])
            print(
                f"pair {pair + 1}: seconds of a batch {measured[False]:.3f} in one process, {measured[True]:.3f} with {given.helpers} helpers",
                flush=True,
            )
    print(f"with helpers over one process: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
