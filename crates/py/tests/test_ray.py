"""Helpers as Ray actors, on a cluster of several nodes on this machine."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster

import cloven
import cloven.ray


@pytest.fixture
def cluster():
    """A head without processors and two nodes with one each."""
    store = 150 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": store})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


def job(protocol, outputs, **changes):
    """The digits with a first layer of 64 x `outputs`; the server has it."""
    model = {
        "server_layers": [0, 1],
        "layers": [
            {"type": "flatten"},
            {"type": "dense", "outputs": outputs},
            {"type": "relu"},
            {"type": "dense", "outputs": 10},
        ],
    }
    sections = {
        "protocol": protocol,
        "parties": {"hospital": "client", "cloud": "server"},
        "data": {"name": "digits", "shape": [1, 8, 8], "classes": 10},
        "model": model,
        "training": {
            "epochs": 3,
            "batch": 64,
            "loss": "cross-entropy",
            "optimiser": {"type": "sgd", "learning_rate": 0.2},
        },
        # Else they are drawn anew for each run.
        "encryption": {"initial_weights": "public"},
    }
    return cloven.Job(sections, set=changes)


CLIENT = textwrap.dedent(
    """
    import cloven, sys
    job, digest, runs = sys.argv[1:]
    cloven.party(job, "hospital", accept=digest, runs=runs)
    """
)


def serve(job, folder, helpers, on_update=None):
    """The server in this process, with these helpers; the client in another one."""
    cloven.init(folder, data="digits")
    path = job.write(folder / "job.toml")
    client = subprocess.Popen([sys.executable, "-c", CLIENT, path, job.digest, folder / "client"])
    try:
        run = cloven.party(path, "cloud", accept=job.digest, runs=folder / "server", helpers=helpers, on_update=on_update)
        assert client.wait(timeout=60) == 0
    finally:
        client.kill()
    return run


def test_a_run_with_helpers_is_one_without(cluster, tmp_path):
    of_layer = job("encrypted-model", 512)
    helped = cloven.run(of_layer, runs=tmp_path, helpers={"cloud": cloven.ray.Helpers(2)})
    alone = cloven.run(of_layer, runs=tmp_path)
    # Keys, and so the noise, are drawn for each run.
    assert helped.test_loss == pytest.approx(alone.test_loss, abs=1e-3)
    assert helped.test_accuracy == pytest.approx(alone.test_accuracy, abs=0.005) and alone.test_accuracy > 0.8
    assert helped.bytes_per_epoch == alone.bytes_per_epoch


def test_a_client_has_its_rows_encrypted_and_a_server_its_sessions_served(cluster, tmp_path):
    samples = job("encrypted-model", 32, **{"encryption.samples": "encrypted", "training.epochs": 1})
    sealed = cloven.template("digits", "encrypted-activation", set={"training.epochs": 1})
    for of_party, party in [(samples, "hospital"), (sealed, "cloud")]:
        helped = cloven.run(of_party, runs=tmp_path, helpers={party: cloven.ray.Helpers(2)})
        alone = cloven.run(of_party, runs=tmp_path)
        assert helped.test_loss == pytest.approx(alone.test_loss, abs=0.02)


def test_a_node_that_is_killed_costs_its_own_blocks(cluster, tmp_path):
    cluster, nodes = cluster
    helpers = cloven.ray.Helpers(2, wait=20)
    before = []

    def kill(update):
        if update["event"] == "epoch" and update["epoch"] == 1:
            assert helpers.lost == 0 and len(set(helpers.where())) == 2
            before.extend(helpers.asked)
            cluster.remove_node(nodes[1], allow_graceful=False)

    run = serve(job("encrypted-model", 512), tmp_path, helpers, kill)
    # What was on the other node went on as if nothing had happened, and does the work of both now: there is no room elsewhere.
    assert helpers.lost == 1 and len(set(helpers.where())) == 1
    undisturbed = 3 * before[0]
    assert min(helpers.asked) < undisturbed * 1.2 < max(helpers.asked) * 2
    client = cloven.Run(next((tmp_path / "client").iterdir()))
    alone = cloven.run(job("encrypted-model", 512), runs=tmp_path / "alone")
    assert client.test_loss == pytest.approx(alone.test_loss, abs=1e-3)
    assert run.job.digest == alone.job.digest


def test_what_helpers_cannot_do_is_said(cluster, tmp_path):
    with pytest.raises(cloven.ConfigurationError, match="no work for helpers"):
        cloven.run(cloven.template("digits"), runs=tmp_path, helpers={"cloud": cloven.ray.Helpers(1)})
    with pytest.raises(ValueError, match="at least one"):
        cloven.ray.Helpers(num_cpus=64)
    nowhere = cloven.ray.Helpers(1, resources={"nowhere": 1}, wait=1)
    with pytest.raises(cloven.ClovenError, match="no room for helper 0"):
        serve(job("encrypted-model", 512), tmp_path, nowhere)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    page = Path(__file__).resolve().parents[3] / "docs" / "ray.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    try:
        exec(blocks[0], {})
    finally:
        ray.shutdown()
    assert 0.5 < float(capsys.readouterr().out.splitlines()[-1]) < 1


def test_bytes_that_are_no_request_are_refused():
    answer = cloven._cloven.Helper(1).answer(np.arange(100, dtype=np.uint8).tobytes())
    assert answer.endswith(b"\x01") and b"cannot be read" in answer
