"""What driving a run from Python costs over the command: time of an epoch, and of the whole process.

Runs the same job by the command and by `cloven.run` in turn, each in a process of its own, and prints the medians of the paired ratios: other programs on the
machine slow both of a pair. The interpreter is the one this file is run with; it needs the package. Data from the folder that CLOVEN_DATA names.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = Path(__file__).resolve().parents[3] / "examples" / "07_ecg_sealed.toml"
BY_PACKAGE = """
import cloven, json, sys
job, settings, runs = sys.argv[1:]
run = cloven.run(job, set=json.loads(settings), runs=runs, progress=False)
print(json.dumps({"seconds_per_epoch": run.seconds_per_epoch}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", help="the program `cloven`, of the same version")
    parser.add_argument("--job", default=JOB, help="job file (default: examples/07_ecg_sealed.toml)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=13245, help="training rows (default: all of MIT-BIH)")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    settings = {"data.train_rows": given.rows, "data.test_rows": 500, "training.epochs": given.epochs}

    def timed(line):
        begun = time.monotonic()
        done = subprocess.run([str(word) for word in line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return json.loads(done.stdout)["seconds_per_epoch"], time.monotonic() - begun

    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        by_command = [given.command, "run", given.job, *changes, "--runs", folder, "--json"]
        by_package = [sys.executable, "-c", BY_PACKAGE, given.job, json.dumps(settings), folder]
        for pair in range(given.pairs):
            # Who is first changes: the second finds files cached.
            order = (by_command, by_package) if pair % 2 == 0 else (by_package, by_command)
            measured = [timed(line) for line in order]
            command, package = measured if pair % 2 == 0 else reversed(measured)
            ratios.append((package[0] / command[0], package[1] / command[1]))
            print(
                f"pair {pair + 1}: seconds of an epoch {command[0]:.3f} by command, {package[0]:.3f} from Python; "
                f"whole process {command[1]:.2f}, {package[1]:.2f}",
                flush=True,
            )
    for name, values in zip(("seconds of an epoch", "whole process"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: from Python over command {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
