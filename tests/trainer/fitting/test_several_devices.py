"""Training that several devices share: two logical CPU devices stand for two GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import ConfigError
from trainer.fitting.devices import check_shares
from trainer.fitting.order import even_batches

CHILD = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.trainer.small_trainings import after_epoch, data_of, train
from trainer.fitting import checkpoint
from trainer.fitting import devices
checkpoint.PAUSE = 0.0
folder = Path(sys.argv[1])
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone, both = devices.strategy, lambda: mirrored

def largest_gap(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(one.get_weights(), other.get_weights()))

# The same mean over a batch needs rows that two devices share to the last, and no noise: theirs is another.
normal, keras.random.normal = keras.random.normal, lambda shape, seed: keras.ops.zeros(shape)
cases = {
    "rmsprop": ("pair", {"dropout": 0.0, "learning_rate": 0.01, "optimizer": "rmsprop"}),
    "pair": ("pair", {"dropout": 0.0, "learning_rate": 0.01}),
    "dense": ("dense", {}),
    # Keras clips each device's gradients apart.
    "vae": ("vae", {"clip_norm": 0.0}),
}
found = {}
for name in sys.argv[2:]:
    if name == "resumed":
        continue
    kind, changes = cases[name]
    data = data_of(kind, folder, rows=44)
    devices.strategy = alone
    one, log_of_one = train(kind, data, epochs=3, **changes)
    devices.strategy = both
    two, log_of_two = train(kind, data, epochs=3, **changes)
    found[name] = {
        "gap": largest_gap(one, two),
        "loss": log_of_two.history["loss"],
        "loss_of_one": log_of_one.history["loss"],
        "replicas": [log_of_one.details["replicas"], log_of_two.details["replicas"]],
    }
    if name == "pair":
        module, spec = tf.Module(), tf.TensorSpec([None, None], tf.int64)
        module.model = two
        score = tf.function(lambda a, b: module.model({"ids_a": a, "ids_b": b}))
        module.score = score.get_concrete_function(spec, spec)
        tf.saved_model.save(module, str(folder / "model"))
        ids = tf.constant([[1, 2], [0, 0]], tf.int64)
        scores = tf.saved_model.load(str(folder / "model")).score(ids, ids[::-1])
        found["exported"] = np.abs(scores - one({"ids_a": ids, "ids_b": ids[::-1]})).max().item()

# With noise and an odd number of rows, killed and resumed on two devices.
if "resumed" not in sys.argv:
    print(json.dumps(found))
    sys.exit()
keras.random.normal = normal
undisturbed, log = train("pair", data_of("pair", folder, rows=45), epochs=3)
def die():
    raise SystemExit
save, data = checkpoint.Checkpoint.on_epoch_end, data_of("pair", folder, folder / "saved", rows=45)
checkpoint.Checkpoint.on_epoch_end = after_epoch(2, die)
try:
    train("pair", data, epochs=3)
except SystemExit:
    checkpoint.Checkpoint.on_epoch_end = save
resumed, again = train("pair", data, epochs=3)
found["resumed"] = {
    "gap": largest_gap(undisturbed, resumed),
    "after": again.details.get("resumed_after_epoch"),
    "history": [log.history["loss"], again.history["loss"]],
}
print(json.dumps(found))
"""


def train_on_both(folder, *names):
    """What trainings came to on two devices, beside the same on one, in a process of its own."""
    here = Path(__file__).parent
    # The child finds this checkout and this folder's modules, wherever pytest was started.
    paths = os.pathsep.join([str(here.parent.parent), str(here), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), *names],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert child.returncode == 0, child.stderr[-5_000:]
    return json.loads(child.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return train_on_both(tmp_path_factory.mktemp("pair"), "pair")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return train_on_both(tmp_path_factory.mktemp("others"), "rmsprop", "dense", "vae", "resumed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rmsprop", "dense", "vae"])
def test_other_trainings_learn_the_same_on_two_devices_too(others, name):
    check_same(others[name])


def test_two_devices_learn_what_one_does_from_the_same_batches(pair):
    check_same(pair["pair"])


def check_same(result):
    assert result["replicas"] == [1, 2]
    # Sums in another order; Adam's first steps make much of it where a gradient is nearly 0.
    assert result["gap"] < 1e-3
    np.testing.assert_allclose(result["loss"], result["loss_of_one"], rtol=1e-3)
    assert result["loss"][-1] < result["loss"][0]


def test_what_two_devices_learned_is_exported_for_one(pair):
    assert pair["exported"] < 1e-4


@pytest.mark.slow
def test_a_training_on_two_devices_is_resumed(others):
    resumed = others["resumed"]
    assert resumed["after"] == 2
    assert resumed["gap"] < 1e-6
    np.testing.assert_allclose(*resumed["history"], rtol=1e-6)  # type: ignore[call-overload]


def test_a_batch_is_shared_evenly_or_refused():
    check_shares(128, 1_000, 1)
    check_shares(96, 3, 3)
    with pytest.raises(
        ConfigError, match="batch_size = 128 cannot be shared evenly among 3 devices: choose 129"
    ):
        check_shares(128, 1_000, 3)
    with pytest.raises(ConfigError, match="2 training rows"):
        check_shares(96, 2, 3)


@pytest.mark.parametrize(
    ("rows", "parts", "sizes"), [(7, 1, [3, 3, 1]), (7, 2, [4, 4]), (1, 4, [4]), (6, 3, [3, 3])]
)
def test_rows_to_evaluate_come_in_batches_that_can_be_shared(rows, parts, sizes):
    batches = [batch.numpy() for (batch,) in even_batches((np.arange(rows),), 3, parts)]
    assert [len(batch) for batch in batches] == sizes
    seen = np.concatenate(batches).tolist()
    assert seen == [at % rows for at in range(len(seen))]
