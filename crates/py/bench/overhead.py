"""What driving a run from Python costs over the command: time of an epoch, of the whole process, and of processors.

Runs the same job by the command and by `cloven.run` in turn, each in a process of its own, and prints the paired ratios' means with their 95 % intervals (by
resampling the pairs) and medians: other programs on the machine slow both of a pair. Processor seconds, of all processes of a run, vary least. The interpreter is the one this file is run with; it needs the package. Data from the folder that CLOVEN_DATA names.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = Path(__file__).resolve().parents[3] / "examples" / "07_ecg_sealed.toml"
QUANTITIES = ("seconds of an epoch", "whole process", "processor seconds")
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
        begun, before = time.monotonic(), os.times()
        done = subprocess.run([str(word) for word in line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        wall, after = time.monotonic() - begun, os.times()
        processors = after.children_user + after.children_system - before.children_user - before.children_system
        return json.loads(done.stdout)["seconds_per_epoch"], wall, processors

    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        by_command = [given.command, "run", given.job, *changes, "--runs", folder, "--json"]
        by_package = [sys.executable, "-c", BY_PACKAGE, given.job, json.dumps(settings), folder]
        for pair in range(given.pairs):
            # Who is first changes: the second finds files cached.
            order = (by_command, by_package) if pair % 2 == 0 else (by_package, by_command)
            measured = [timed(line) for line in order]
            command, package = measured if pair % 2 == 0 else reversed(measured)
            pairs.append((command, package))
            print(
                f"pair {pair + 1}, command / Python: "
                + ", ".join(f"{name} {c:.3f} / {p:.3f}" for name, c, p in zip(QUANTITIES, command, package, strict=True)),
                flush=True,
            )
    for at, name in enumerate(QUANTITIES):
        ratios = [package[at] / command[at] for command, package in pairs]
        low, high = interval(ratios)
        print(
            f"{name}: from Python over command {statistics.fmean(ratios):.3f} in the mean ({low:.3f} to {high:.3f}), "
            f"{statistics.median(ratios):.3f} in the median ({min(ratios):.3f} to {max(ratios):.3f})"
        )


def interval(values, resamples=10_000):
    """Of the mean, 95 %: the middle of the means of `resamples` samples with replacement."""
    chance = random.Random(1)
    means = sorted(statistics.fmean(chance.choices(values, k=len(values))) for _ in range(resamples))
    return means[resamples * 25 // 1000], means[resamples * 975 // 1000]


if __name__ == "__main__":
    main()
