"""Secure inference from Python: a service's trial."""

from pathlib import Path

import cloven

JOB = Path(__file__).resolve().parents[3] / "examples" / "05_secure_inference.toml"


def test_a_trial_is_answered_as_the_network_in_the_clear(tmp_path):
    run = cloven.run(JOB, set={"trial.queries": 2}, runs=tmp_path)
    assert run.equal_to_fixed_point is True and run.rows == 2
