# %% [markdown]
# # Heart beats: training with a cloud that sees nothing but ciphertexts
#
# This page is a notebook. To open it as one, with the package `cloven` installed:
#
#     pip install -r docs/tutorials/requirements.txt jupyterlab
#     jupytext --to ipynb docs/tutorials/ecg.py
#     CLOVEN_DATA=/folder/with/data jupyter lab docs/tutorials/ecg.ipynb
#
# (JupyterLab with jupytext also opens the `.py` itself: right click, *Open With*, *Notebook*.) The data are yours to supply: a folder `mitbih` in the one that
# `CLOVEN_DATA` names, with `train_ecg.hdf5` and `test_ecg.hdf5`. All cells together take about half a minute on two cores.
#
# You are a hospital's data scientist. You have heart beats and what cardiologists said of them; a cloud is to do a part of the work of training, and is not to
# see the beats, nor anything that gives them away, nor the diagnoses. You will
#
# 1. look at the beats,
# 2. write a job, and read what each party will learn *before* anything runs,
# 3. train with the cloud's part encrypted, and again without protection, to see what protection costs,
# 4. look at what the network gets wrong,
# 5. sit down on the cloud's chair and attack what it received.

# %%
import os
import textwrap
from importlib.util import find_spec
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np

import cloven

if "CLOVEN_DATA" not in os.environ:
    raise SystemExit("CLOVEN_DATA is not set: it names the folder that has the folder mitbih")
folder = Path(os.environ["CLOVEN_DATA"]) / "mitbih"

# Colours that people who see fewer of them tell apart, too (Okabe and Ito).
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
plt.rcParams.update(
    {"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
)
print("cloven", cloven.__version__)

# %% [markdown]
# ## 1. The beats
#
# The MIT-BIH arrhythmia database has half-hour recordings in which cardiologists marked each beat. The two files hold single beats of 43 people: about 0.28 s of
# signal before and after the mark, as 128 points, scaled to about 0..1. Each has one of five classes.

# %%
CLASSES = {
    "N": "normal",
    "L": "left bundle\nbranch block",
    "R": "right bundle\nbranch block",
    "A": "atrial\npremature",
    "V": "premature\nventricular",
}


def read(part):
    with h5py.File(folder / f"{part}_ecg.hdf5") as file:
        return file[f"x_{part}"][:], file[f"y_{part}"][:]


x_train, y_train = read("train")
x_test, y_test = read("test")
for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
    counts = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, np.bincount(y), strict=True))
    print(f"{part}: x {x.shape}, from {x.min():.2f} to {x.max():.2f}; beats of each class: {counts}")

# %% [markdown]
# `cloven data inspect FILE` says the same on the command line, without a line of Python.
#
# Below, thirty beats of each class in grey, and in blue the median of all.

# %%
seconds = np.linspace(-0.28, 0.28, 128)
figure, panels = plt.subplots(1, 5, figsize=(11, 2.7), sharex=True, sharey=True, layout="constrained")
for label, (panel, (name, meaning)) in enumerate(zip(panels, CLASSES.items(), strict=True)):
    beats = x_train[y_train == label, 0]
    panel.plot(seconds, beats[:30].T, color=GREY, linewidth=0.5, alpha=0.35)
    panel.plot(seconds, np.median(beats, axis=0), color=BLUE, linewidth=2)
    panel.set_title(f"{name}: {meaning}", fontsize=9)
    panel.set_xticks([-0.2, 0, 0.2])
panels[0].set_ylabel("signal, scaled")
figure.supxlabel("time from the mark (s)", fontsize=9)
plt.show()

# %% [markdown]
# V is wide and easily told from the others. A looks like N here: what makes it premature is *when* it comes, and a beat that has been cut out does not say so.
# Remember that when the network confuses the two.
#
# One warning that has nothing to do with encryption. These are the files of a published split, and it leaks: the same people are in both parts, and many test
# beats are training beats, too. Cloven knows which test beats are not, and reports their accuracy beside that of all (`disjoint`).
#
# ## 2. The job
#
# A job is what all parties agree on: the same file at each. It has no path, no address and no secret.
#
# The network is a small one, and it is cut before its last layer. The hospital has the convolutions and the loss, the cloud the dense layer:
#
#                                   the hospital's                                       │    the cloud's    │   the hospital's
#     beat 1×128 ─ convolution 16 ─ pool ─ 16×64 ─ convolution 8 ─ pool ─ 8×32 ─ flatten │ ─ dense 256 → 5 ─ │ ─ loss, diagnosis
#
# For every batch the 256 activations of each beat go to the cloud, five numbers come back; then a gradient of five goes, and one of 256 comes back. With
# protocol `encrypted-activation` all of these are ciphertexts under a key that only the hospital has.
#
# This is a small portion of the data, so that the page is done while you read it.

# %%
EPOCHS, TRAIN_ROWS, TEST_ROWS = 10, 4000, 2000

job = cloven.Job(
    protocol="encrypted-activation",
    seed=1,
    parties={"hospital": "client", "cloud": "server"},
    data={"name": "mitbih", "shape": [1, 128], "classes": 5, "train_rows": TRAIN_ROWS, "test_rows": TEST_ROWS},
    model={
        "server_layers": [7],
        "layers": [
            {"type": "conv1d", "channels": 16, "kernel": 7, "padding": 3},
            {"type": "leaky-relu"},
            {"type": "max-pool1d", "size": 2},
            {"type": "conv1d", "channels": 8, "kernel": 5, "padding": 2},
            {"type": "leaky-relu"},
            {"type": "max-pool1d", "size": 2},
            {"type": "flatten"},
            {"type": "dense", "outputs": 5},
        ],
    },
    training={"epochs": EPOCHS, "batch": 4, "loss": "cross-entropy", "optimiser": {"type": "adamw", "learning_rate": 1e-3}},
)
job

# %% [markdown]
# Your own beats need another `name` and no more than that: `cloven.run(job, (x, y))` takes arrays, from wherever you have them.
#
# ### What each party learns
#
# Cloven says so before anything runs; the same sentences are in the job's report. Show them to whoever is responsible for data protection.


# %%
def say(leaks):
    for party, learns in leaks.items():
        print(textwrap.fill(learns, 100, initial_indent=f"{party}: ", subsequent_indent=" " * (len(party) + 2)))


say(job.leaks)

# %% [markdown]
# The same job without protection, which is ordinary split learning, is one changed value. Its sentences are worth a comparison:

# %%
plain_job = cloven.Job(job, set={"protocol": "plain"})
say(plain_job.leaks)

# %% [markdown]
# ### What it will cost
#
# `cloven.plan` tries the job's steps on made-up rows, here and now, and says what an epoch will take: on this machine, and over a line to a cloud.

# %%
for line in (None, "100Mbps,rtt=20ms"):
    plan = cloven.plan(job, link=line)
    cut = plan["cuts"][plan["recommended"]]
    print(
        f"{line or 'this machine':16s}  {cut['seconds_per_epoch']:6.1f} s and {cut['bytes_per_epoch'] / 1e6:.1f} MB an epoch; {cut['why']}"
    )
print(f"security of the encryption: {cut['params']['security_bits']} bits")

# %% [markdown]
# Over a real line it is the round trips of a thousand small batches that cost; a larger `batch` makes fewer of them.
#
# ## 3. Training
#
# `cloven.run` starts hospital and cloud as processes of their own, which talk over mutual TLS as they would from two machines. `record=500` makes each keep the
# messages of the first 500 batches, for the last part of this page; leave it out otherwise.

# %%
runs = {name: cloven.run(each, record=500) for name, each in {"encrypted": job, "plain": plain_job}.items()}
runs["encrypted"]

# %% [markdown]
# `run.metrics()` is what happened in each epoch at each party. Losses and accuracies are the hospital's; the cloud has none.


# %%
def curve(run, event, value):
    return zip(
        *((entry["epoch"], value(entry)) for entry in run.metrics() if entry["party"] == "hospital" and entry["event"] == event),
        strict=True,
    )


STYLES = {
    "encrypted": {"color": BLUE, "marker": "o", "markersize": 6},
    "plain": {"color": ORANGE, "marker": "x", "markersize": 6, "linestyle": "--"},
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for name, run in runs.items():
    left.plot(*curve(run, "epoch", lambda entry: entry["loss"]), label=name, **STYLES[name])
    right.plot(*curve(run, "evaluated", lambda entry: 100 * entry["evaluation"]["accuracy"]), label=name, **STYLES[name])
left.set(xlabel="epoch", ylabel="training loss (cross-entropy)", ylim=(0, None))
right.set(xlabel="epoch", ylabel=f"accuracy on {TEST_ROWS} test beats (%)", ylim=(None, 100))
for panel in (left, right):
    panel.set_xticks(range(1, EPOCHS + 1))
    panel.grid(alpha=0.25)
left.legend()
plt.show()

# %% [markdown]
# The curves are close. They are not the same, because the encryption rounds and adds a little noise, so that training takes a slightly different path from the
# same start; with another `seed` either may be ahead. The price is time and bytes.

# %%
ROWS = {
    "test accuracy (%)": lambda run: 100 * run.test_accuracy,
    "… of beats not in training (%)": lambda run: 100 * run.test_accuracy_subsets["disjoint"],
    "seconds an epoch": lambda run: run.seconds_per_epoch,
    "megabytes an epoch": lambda run: run.bytes_per_epoch / 1e6,
}
print(f"{'':32s}{'plain':>10s}{'encrypted':>12s}{'ratio':>8s}")
for row, value in ROWS.items():
    plain, encrypted = value(runs["plain"]), value(runs["encrypted"])
    print(f"{row:32s}{plain:10.2f}{encrypted:12.2f}{encrypted / plain:8.2f}")
assert abs(runs["encrypted"].test_accuracy - runs["plain"].test_accuracy) < 0.03

# %% [markdown]
# ## 4. What the network gets wrong
#
# `run.predict` asks the trained network about beats, under the same protection: the cloud computes its layer on ciphertexts again, and only the hospital sees
# the answers. Rows are those that training was tested on, so the accuracy must be the one above.

# %%
run = runs["encrypted"]
x, y = x_test[:TEST_ROWS], y_test[:TEST_ROWS]
predictions = run.predict(x)
decided = np.asarray(predictions).argmax(axis=1)
print(f"probabilities {np.asarray(predictions).shape}; accuracy {np.mean(decided == y):.4f}, in training {run.test_accuracy:.4f}")
assert abs(np.mean(decided == y) - run.test_accuracy) < 0.005

confusion = np.zeros((5, 5), dtype=int)
np.add.at(confusion, (y, decided), 1)
share = confusion / confusion.sum(axis=1, keepdims=True)

figure, panel = plt.subplots(figsize=(4.6, 3.9), layout="constrained")
image = panel.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
for (actual, said), count in np.ndenumerate(confusion):
    panel.text(said, actual, count, ha="center", va="center", color="white" if share[actual, said] > 0.5 else "black")
panel.set(xticks=range(5), yticks=range(5), xticklabels=CLASSES, yticklabels=CLASSES)
panel.set(xlabel="what the network says", ylabel="what the cardiologists say")
panel.spines[:].set_visible(False)
panel.tick_params(length=0)
bar = figure.colorbar(image, label="share of the row (%)")
bar.outline.set_visible(False)
plt.show()

# %% [markdown]
# Numbers are beats, colours shares of a row. A is what the network misses most; more rows and epochs help, what the beat alone does not say remains.
#
# ## 5. What the cloud could see
#
# Now the other chair. Both runs recorded what the cloud received. `cloven.audit` attacks it: it looks for labels in gradients, compares what was received with the
# beats, and trains a network to turn it back into beats, with half of the true ones as a help that no real cloud has. Each finding stands beside what chance
# gives: an attack on labels that is right for every fifth beat has found nothing.

# %%
views = {name: cloven.audit(run)["parties"]["cloud"] for name, run in runs.items()}
for name, view in views.items():
    print(f"{name}: {view['rows']} rows, {view['received']}")
    for finding in view["findings"]:
        found = "SUCCEEDED" if finding["succeeded"] else "not better than chance"
        print(
            f"    {finding['target']:7s} {finding['measure'][:62]:62s} {finding['value']:6.3f}  (chance {finding['chance']:6.3f})  {found}"
        )

# %%
findings = list(zip(*(view["findings"] for view in views.values()), strict=True))
figure, panel = plt.subplots(figsize=(9, 0.75 * len(findings) + 1), layout="constrained")
offsets = {"encrypted": 0.17, "plain": -0.17}
LEFT = min(0, *(finding[key] for pair in findings for finding in pair for key in ("value", "chance"))) - 0.05
for place, pair in enumerate(findings):
    for (name, offset), finding in zip(offsets.items(), pair, strict=True):
        panel.barh(place + offset, finding["bound"] - LEFT, left=LEFT, height=0.3, color="#DCDCDC")
        panel.plot([finding["chance"]] * 2, [place + offset - 0.15, place + offset + 0.15], color=GREY)
        panel.plot(finding["value"], place + offset, color=STYLES[name]["color"], marker=STYLES[name]["marker"], markersize=8)
panel.set_yticks(
    range(len(findings)),
    [
        textwrap.fill(f"{pair[0]['target']}: {pair[0]['attack'].split(';')[0]}", 62) + f"\n({pair[0]['measure'].split(' (')[0]})"
        for pair in findings
    ],
    fontsize=7.5,
)
panel.invert_yaxis()
panel.set(xlabel="what the attack reached: 1 is everything", xlim=(LEFT, 1.05))
panel.grid(axis="x", alpha=0.25)
handles = [
    plt.Line2D([], [], linestyle="", markersize=8, label=name, **{key: STYLES[name][key] for key in ("color", "marker")})
    for name in offsets
]
handles.append(plt.Line2D([], [], color=GREY, label="chance"))
handles.append(plt.Rectangle((0, 0), 1, 1, color="#DCDCDC", label="not to be told from chance"))
figure.legend(handles=handles, loc="outside upper center", ncols=4)
plt.show()

# %% [markdown]
# In the clear the cloud has every label, and the beats, near enough. From ciphertexts the same attacks get what chance gives. That does not show that no attack
# can do better; what the encryption rests on is in [parameters.md](../parameters.md), what each party learns in
# [encrypted-activation.md](../protocols/encrypted-activation.md).
#
# To see it rather than count it: of the four beats that the audit keeps as examples, the one that is least like an average beat.

# %%
average = x_train[:, 0].mean(axis=0)
shown = max(
    range(len(views["plain"]["examples"])), key=lambda one: np.std(np.asarray(views["plain"]["examples"][one]["input"]) - average)
)
figure, panels = plt.subplots(2, 2, figsize=(9, 5), layout="constrained")
for line, name in zip(panels, ("plain", "encrypted"), strict=True):
    example = views[name]["examples"][shown]
    # In the clear, 8 channels of 32 points; of ciphertexts, the first bytes.
    line[0].imshow(np.asarray(example["received"]).reshape(8, -1), aspect="auto", cmap="viridis", interpolation="nearest")
    line[1].plot(seconds, example["input"], color="black", label="the beat")
    line[1].plot(seconds, average, color=GREY, linestyle=":", label="average of all beats")
    line[1].plot(seconds, example["reconstruction"], label="attacker's reconstruction", color=STYLES[name]["color"])
    line[1].set(
        ylim=(-0.05, 1.35),
        ylabel="signal, scaled",
        xlabel="time from the mark (s)",
        title=f"{name}: what the attacker makes of it",
    )
    line[1].legend(loc="upper right", fontsize=8)
panels[0, 0].set(xlabel="point", ylabel="channel", title="plain: what the cloud received, activations")
panels[1, 0].set(xlabel="byte", ylabel="row of 128 bytes", title="encrypted: what the cloud received, ciphertext")
plt.show()

# %% [markdown]
# From ciphertexts the attacker's network learns no more than what an average beat looks like.
#
# ## 6. What you have now
#
# The trained network is yours, both parts of it: `run.state_dict()` has all weights as numpy arrays under PyTorch's names. (The hospital learns the cloud's layer: see
# above.) `cloven.export(run, path)` writes them as a file.

# %%
weights = run.state_dict()
for name, value in weights.items():
    print(f"{name:10s} {value.shape}")

# %% [markdown]
# Where PyTorch is installed, the same network in it, asked in the clear:

# %%
if find_spec("torch"):
    import torch
    from torch import nn

    network = nn.Sequential(
        *(nn.Conv1d(1, 16, 7, padding=3), nn.LeakyReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(16, 8, 5, padding=2), nn.LeakyReLU(), nn.MaxPool1d(2)),
        *(nn.Flatten(), nn.Linear(256, 5)),
    )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with torch.no_grad():
        in_the_clear = network(torch.from_numpy(x).float()).argmax(dim=1).numpy()
    agree = np.mean(in_the_clear == decided)
    print(f"PyTorch in the clear and the encrypted protocol decide {100 * agree:.2f} % of the beats alike")
    assert agree > 0.99
else:
    print("PyTorch is not installed")

# %% [markdown]
# ## 7. On two machines
#
# Nothing above is another on two machines but who starts what. `job.write("job.toml")` is the file for both; each party has its own key and pins the
# other's certificate (`cloven.init`, `cloven.roster_add`), reads the digest of the job to the other, and takes its own part:

# %%
print("the digest that both operators compare:", job.digest)

# %% [markdown]
# ```python
# # the hospital's notebook                                           # the cloud operator's shell
# run = cloven.party("ecg/job.toml", "hospital", accept=digest)       # cloven party ecg/job.toml --as cloud --accept DIGEST
# ```
#
# [two-machines.md](../two-machines.md) goes through it command by command; [python.md](../python.md) has all functions of the package. `run.report()` makes one
# page of a run, with its curves and with what each party learnt, to be filed with the study's documents.
