"""Secure inference from Python: a service's trial, and servers and a user, each in a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import cloven

JOB = Path(__file__).resolve().parents[3] / "examples" / "05_secure_inference.toml"

SERVICE = """
protocol = "secure-inference"
[parties]
hospital = "user"
gate = "gateway"
east = "server"
west = "server"
[data]
name = "own"
shape = [1, 8, 8]
classes = 10
[service]
engine = "boolean"
output = "scores"
"""


def test_a_trial_is_answered_as_the_network_in_the_clear(tmp_path):
    run = cloven.run(JOB, set={"trial.queries": 2, "trial.training.epochs": 1}, runs=tmp_path)
    assert run.equal_to_fixed_point is True and run.rows == 2


def test_servers_answer_a_user_and_learn_nothing_of_each_other(tmp_path, digits):
    onnx_test = pytest.importorskip("test_onnx", reason="onnx is part of the package's test requirements")
    x, _ = digits
    path, weights = onnx_test.write_network(tmp_path)
    job = tmp_path / "job.toml"
    job.write_text(SERVICE)
    cloven.init(tmp_path)
    shares = cloven.share(path, job, tmp_path / "shares")
    assert sorted(share.stem for share in shares) == ["east", "gate", "west"]
    digest = cloven.ServiceJob(job).digest
    code = textwrap.dedent(
        """
        import cloven, sys
        try:
            cloven.serve(sys.argv[1], sys.argv[2], accept=sys.argv[3], pool=2, stop_after=3 if sys.argv[2] == "gate" else None)
        except cloven.PartyUnreachable:
            pass
        """
    )
    servers = [subprocess.Popen([sys.executable, "-c", code, job, name, digest]) for name in ("gate", "east", "west")]
    try:
        answers = cloven.ask(job, "hospital", x[:3], accept=digest)
        hidden = np.maximum(x[:3].reshape(3, 64) @ weights["a"].T + weights["b"], 0)
        expected = hidden @ weights["c"].T + weights["d"]
        assert np.allclose(answers.outputs, expected, atol=0.05)
        assert answers.classes == list(expected.argmax(axis=1)) and answers.report["rows"] == 3
        assert servers[0].wait(60) == 0
    finally:
        for server in servers:
            server.kill()
            server.wait()
    with pytest.raises(cloven.IdentityError):
        cloven.ask(job, "hospital", x[:1], accept="f" * 16)
