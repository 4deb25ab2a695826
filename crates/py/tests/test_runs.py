"""Training and prediction of whole jobs, each party a process."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import cloven
from cloven._process import program


def test_a_template_trains_and_its_folder_says_the_same(tmp_path):
    updates = []
    run = cloven.run(
        cloven.template("wdbc", "encrypted-activation", set={"training.epochs": 4}), runs=tmp_path, on_update=updates.append
    )
    assert run.test_accuracy > 0.85
    assert {update["event"] for update in updates} >= {"listening", "started", "epoch", "evaluated", "finished"}
    assert cloven.Run(run.folder).summary == run.summary
    assert run.job == cloven.template("wdbc", "encrypted-activation", set={"training.epochs": 4})
    assert [line["event"] for line in run.metrics()].count("epoch") >= 2
    assert run.report().read_text().startswith("<!doctype html>")
    assert "test_accuracy" in dir(run) and "<table>" in run._repr_html_()


def test_arrays_go_in_and_predictions_come_back_as_arrays(tmp_path, digits, digits_job):
    x, y = digits
    run = cloven.run(digits_job, (x[:1400], y[:1400], x[1400:], y[1400:]), runs=tmp_path)
    assert run.test_accuracy > 0.8
    predictions = run.predict(x[1400:])
    assert np.asarray(predictions).shape == (397, 10) and np.asarray(predictions).dtype == np.float32
    assert np.allclose(np.asarray(predictions).sum(axis=1), 1, atol=1e-5)
    decided = np.array([int(name) for name in predictions.decided])
    assert np.mean(decided == y[1400:]) == pytest.approx(run.test_accuracy)
    assert np.array_equal(decided, np.asarray(predictions).argmax(axis=1))
    # Layers in the file are PyTorch's, so that the network can be computed here.
    state = run.state_dict()
    hidden = np.maximum(x[1400:].reshape(397, 64) @ state["1.weight"].T + state["1.bias"], 0)
    assert np.array_equal((hidden @ state["3.weight"].T + state["3.bias"]).argmax(axis=1), decided)


def test_columns_of_predictions_are_in_the_order_of_the_classes(tmp_path, digits, digits_job):
    """Also of more than ten, whose names are in another order as text."""
    x, y = digits
    twelve = np.where(y < 2, y + 10, y)
    digits_job["data"]["classes"] = digits_job["model"]["layers"][-1]["outputs"] = 12
    twelve[:2] = 0, 1
    predictions = cloven.run(digits_job, (x, twelve), runs=tmp_path).predict(x)
    assert predictions.classes == [str(number) for number in range(12)]
    assert np.mean(np.asarray(predictions).argmax(axis=1) == twelve) > 0.8
    assert [int(name) for name in predictions.decided] == list(np.asarray(predictions).argmax(axis=1))


def test_the_same_run_by_command_and_by_package(tmp_path, digits, digits_job):
    x, y = digits
    job = cloven.Job(digits_job)
    by_package = cloven.run(job, {"hospital": cloven.Samples(x, y)}, runs=tmp_path / "package")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    job.write(tmp_path / "job.toml")
    (tmp_path / "hospital").mkdir()
    (tmp_path / "hospital" / "local.toml").write_text(
        f'[data]\ntrain = "{tmp_path}/x.npy"\n[data.npy]\ntrain_labels = "{tmp_path}/y.npy"\n'
    )
    command = [sys.executable, "-m", "cloven", "run", tmp_path / "job.toml", "--runs", tmp_path / "command", "--json"]
    done = subprocess.run(command, capture_output=True, check=True)
    by_command = json.loads(done.stdout)
    assert by_command["job"] == by_package.summary["job"]
    assert by_command["test_loss"] == by_package.test_loss


def test_columns_of_frames_train_together(tmp_path):
    pd = pytest.importorskip("pandas", reason="pandas is part of the package's test requirements")
    rng = np.random.default_rng(1)
    ids, x = np.arange(600), rng.normal(size=(600, 6))
    y = (x @ [2.0, -1, 1, -2, 1, 2] > 0).astype(int)
    bank = pd.DataFrame(x[:, :3], columns=["a", "b", "c"]).assign(person=ids, default=y).sample(frac=0.9, random_state=1)
    shop = pd.DataFrame(x[:, 3:], columns=["d", "e", "f"]).assign(person=ids).sample(frac=0.9, random_state=2)
    job = cloven.Job(
        protocol="vertical",
        parties={"bank": "label-holder", "shop": "holder", "cloud": "server"},
        data={"name": "made-up", "shape": [6], "columns": {"bank": 3, "shop": 3}, "classes": 2, "standardise": True},
        model={
            "server_layers": [1],
            "layers": [{"type": "dense", "outputs": 4}, {"type": "relu"}, {"type": "dense", "outputs": 1}],
        },
        vertical={"acknowledge": ["h1-span"]},
        training={"epochs": 4, "batch": 32, "loss": "bce", "optimiser": {"type": "sgd", "learning_rate": 0.5}},
    )
    data = {
        "bank": cloven.Columns(bank, ids=["person"], target="default"),
        "shop": cloven.Columns(shop, ids=["person"]),
    }
    run = cloven.run(job, data, runs=tmp_path)
    common = len(set(bank["person"]) & set(shop["person"]))
    assert {holder["common_ids"] for holder in run.alignment.values()} == {common}
    assert run.auc > 0.9
    asked = {"bank": bank.drop(columns="default").head(20), "shop": shop[shop["person"].isin(bank["person"].head(20))]}
    assert len(run.predict(asked)) == len(asked["shop"])


def test_an_error_says_what_was_expected_and_who_it_was(tmp_path, digits, digits_job):
    x, y = digits
    with pytest.raises(cloven.DataError) as caught:
        cloven.run(digits_job, (x[:, :, :4], y), runs=tmp_path)
    assert caught.value.exit_code == 4 and caught.value.party == "hospital"
    assert caught.value.run_folder.parent == tmp_path
    with pytest.raises(cloven.ConfigurationError, match="server_layers"):
        cloven.Job(digits_job, set={"model.server_layers": [9]})
    with pytest.raises(cloven.ConfigurationError, match="nobody"):
        cloven.run(digits_job, {"nobody": (x, y)}, runs=tmp_path)


def test_a_callback_that_raises_ends_up_at_the_caller(tmp_path):
    def refuse(update):
        raise LookupError(update["event"])

    with pytest.raises(LookupError):
        cloven.run(cloven.template("wdbc", set={"training.epochs": 1}), runs=tmp_path, on_update=refuse)


INTERRUPTED = """
import cloven, os, signal, sys
def stop(update):
    if update["event"] == "checkpoint" and update["position"]["epoch"] >= 1:
        os.kill(os.getpid(), signal.SIGINT)
try:
    cloven.run(cloven.template("digits", set={"training.epochs": 150}), runs=sys.argv[1], on_update=stop)
except cloven.Interrupted as interrupted:
    print(interrupted.run_folder)
    sys.exit(7)
"""


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, tmp_path], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    job = cloven.template("digits", set={"training.epochs": 150})
    events = []
    run = cloven.run(job, resume=done.stdout.strip(), on_update=events.append)
    begun = next(update for update in events if update["event"] == "started")
    assert begun["from"]["epoch"] >= 1
    whole = cloven.run(job, runs=tmp_path / "whole")
    assert run.test_loss == whole.test_loss


def test_other_threads_go_on_while_it_works(tmp_path):
    done, beats = threading.Event(), []

    def beat():
        while not done.wait(0.01):
            beats.append(1)

    thread = threading.Thread(target=beat)
    thread.start()
    begun = time.monotonic()
    cloven.run(cloven.template("digits", set={"training.epochs": 5}), runs=tmp_path)
    elapsed = time.monotonic() - begun
    done.set()
    thread.join()
    # A hundred a second, on a machine with nothing else to do; with the lock held, none.
    assert len(beats) > 10 * elapsed


def test_two_parties_each_in_a_process_of_its_own(tmp_path):
    """What two operators do, with keys, rosters, addresses and consent."""
    cloven.init(tmp_path, data="wdbc", protocol="encrypted-activation")
    job = cloven.Job(tmp_path / "job.toml", set={"training.epochs": 4})
    assert set(job.leaks) >= {"cloud"}
    code = textwrap.dedent(
        """
        import cloven, sys
        folder, name, digest = sys.argv[1:]
        run = cloven.party(folder + "/job.toml", name, accept=digest, set={"training.epochs": 4}, runs=folder + "/runs-" + name)
        print(run.folder)
        """
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, name, job.digest[:16]], stdout=subprocess.PIPE, text=True)
        for name in ("cloud", "hospital")
    ]
    folders = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert cloven.Run(folders[1]).test_accuracy > 0.8
    with pytest.raises(cloven.IdentityError) as caught:
        cloven.party(job, "hospital", accept="0" * 16, runs=tmp_path)
    assert caught.value.expected == job.digest and caught.value.got == "0" * 16
    with pytest.raises(TypeError, match="accept"):
        cloven.party(job, "hospital")


def test_a_party_that_is_not_there_is_named(tmp_path):
    cloven.init(tmp_path, data="wdbc")
    local = tmp_path / "hospital" / "local.toml"
    local.write_text(local.read_text().replace("connect_seconds = 60", "connect_seconds = 1"))
    job = cloven.Job(tmp_path / "job.toml")
    with pytest.raises(cloven.PartyUnreachable) as caught:
        cloven.party(job, "hospital", accept=job.digest, runs=tmp_path)
    assert caught.value.party == "cloud" and isinstance(caught.value, ConnectionError)


def test_a_recorded_run_is_audited(tmp_path):
    run = cloven.run(cloven.template("wdbc", set={"training.epochs": 1}), runs=tmp_path, record=True)
    audit = cloven.audit(run)
    assert audit["parties"]["cloud"]["findings"]


def test_a_plan_has_every_cut(tmp_path):
    os.environ["CLOVEN_CACHE"] = str(tmp_path)
    plan = cloven.plan(cloven.template("wdbc"), rows=(64, 16))
    assert plan["recommended"] is not None and plan["cuts"][0]["seconds_per_epoch"] > 0


def test_the_command_is_the_tools(tmp_path):
    # What lies in the working directory does not stand in for modules in a party's process.
    (tmp_path / "json.py").write_text("raise RuntimeError('not the standard library')")

    def command(*line):
        return subprocess.run([*program(), *line], capture_output=True, text=True, cwd=tmp_path)

    assert command("--version").stdout.strip() == f"cloven {cloven.__version__}"
    assert command("no-such-verb").returncode == 2
    assert command("run", "missing.toml").returncode == 1
    done = command("run", "missing.toml", "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == 1


def test_a_killed_party_is_started_again(tmp_path):
    import pathlib

    killed = []

    def kill(update):
        if update["event"] == "checkpoint" and not killed:
            for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = process.read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"--events" in words and b"cloud" in words and str(tmp_path).encode() in b" ".join(words):
                    killed.append(int(process.parent.name))
                    os.kill(killed[0], signal.SIGKILL)

    job = cloven.template("digits", set={"training.epochs": 20})
    events = []
    run = cloven.run(job, runs=tmp_path, on_update=lambda update: (events.append(update["event"]), kill(update)))
    assert killed and "restarted" in events
    assert run.test_loss == cloven.run(job, runs=tmp_path / "whole").test_loss
