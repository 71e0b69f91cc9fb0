"""A training that was killed and started again ends as one that nothing happened to."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.trainer.small_trainings import EPOCHS, after_epoch, data_of, train
from trainer.fitting import checkpoint
from trainer.fitting.checkpoint import FILE, Checkpoint, folder_of
from trainer.fitting.training import EARLY_STOPPING

CHILD = """
import os, signal, sys
from pathlib import Path
from tests.trainer.small_trainings import after_epoch, data_of, train
from trainer.fitting import checkpoint
checkpoint.PAUSE = 0.0
kind, folder, epoch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoint.on_epoch_end = after_epoch(epoch, kill)
train(kind, data_of(kind, folder, folder / "saved"))
"""


@pytest.fixture(autouse=True, scope="module")
def save_after_every_epoch():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "PAUSE", 0.0)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same training without checkpoints, from start to end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return functools.cache(lambda kind, **changes: train(kind, data_of(kind, folder), **changes))


@pytest.fixture
def killed(monkeypatch):
    """Trains, and ends with SystemExit when so many epochs are done."""

    def run(kind, data, epoch, **changes):
        def stop():
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "on_epoch_end", after_epoch(epoch, stop))
            with pytest.raises(SystemExit):
                train(kind, data, **changes)

    return run


def assert_same(one, other, *, resumed_after):
    (model, log), (again, again_log) = one, other
    for weights, others in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    assert again_log.history == log.history
    assert (again_log.epochs, log.epochs) == (len(log.history["loss"]),) * 2
    assert again_log.details == {**log.details, "resumed_after_epoch": resumed_after}


@pytest.mark.parametrize(
    "kind", ["pair", *(pytest.param(other, marks=pytest.mark.slow) for other in ("vae", "dense", "lstm"))]
)
def test_a_training_that_was_interrupted_ends_as_if_it_had_not_been(
    kind, tmp_path, undisturbed, killed, caplog
):
    data = data_of(kind, tmp_path, tmp_path / "saved")
    killed(kind, data, 3)
    caplog.set_level("INFO", "kembar.progress")
    assert_same(undisturbed(kind), train(kind, data), resumed_after=3)
    assert "resumed after epoch 3" in caplog.messages


@pytest.mark.slow
def test_what_rmsprop_knows_of_rows_is_resumed_too(tmp_path, undisturbed, killed):
    data = data_of("pair", tmp_path, tmp_path / "saved")
    killed("pair", data, 2, optimizer="rmsprop")
    resumed = train("pair", data, optimizer="rmsprop")
    assert_same(undisturbed("pair", optimizer="rmsprop"), resumed, resumed_after=2)


@pytest.mark.slow
def test_batches_under_a_budget_of_tokens_are_resumed_too(tmp_path, undisturbed, killed):
    data = data_of("pair", tmp_path, tmp_path / "saved")
    killed("pair", data, 2, tokens_per_batch=20)
    again = train("pair", data, tokens_per_batch=20)
    assert_same(undisturbed("pair", tokens_per_batch=20), again, resumed_after=2)


@pytest.mark.slow
def test_a_training_may_be_interrupted_again_and_again(tmp_path, undisturbed, killed):
    data = data_of("dense", tmp_path, tmp_path / "saved")
    for epoch in (1, 2, 4):
        killed("dense", data, epoch)
    assert_same(undisturbed("dense"), train("dense", data), resumed_after=4)


@pytest.mark.slow  # a compiled run, in test_compiled_pipeline.py, is killed in the same way
def test_kill_9_is_survived(tmp_path, undisturbed):
    folder = Path(__file__).parent
    # The child finds this checkout and this folder's modules, wherever pytest was started.
    paths = os.pathsep.join([str(folder.parent.parent), str(folder), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-c", CHILD, "vae", str(tmp_path), "4"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    resumed = train("vae", data_of("vae", tmp_path, tmp_path / "saved"))
    assert_same(undisturbed("vae"), resumed, resumed_after=4)


@pytest.mark.parametrize("kind", ["dense", pytest.param("vae", marks=pytest.mark.slow)])
def test_a_training_killed_after_it_stopped_early_trains_no_epoch_more(kind, tmp_path, undisturbed, killed):
    # With such a rate the first epochs are the best.
    changes = {"learning_rate": 3.0, "epochs": 20}
    expected = undisturbed(kind, **changes)
    stopped = expected[1].epochs
    assert stopped < 20
    data = data_of(kind, tmp_path, tmp_path / "saved")
    killed(kind, data, stopped, **changes)
    assert_same(expected, train(kind, data, **changes), resumed_after=stopped)


def test_a_training_killed_after_its_last_epoch_is_only_finished(tmp_path, undisturbed, killed):
    data = data_of("dense", tmp_path, tmp_path / "saved")
    killed("dense", data, EPOCHS)
    assert_same(undisturbed("dense"), train("dense", data), resumed_after=EPOCHS)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def _without_state(path):
    np.savez(path, variable_0=np.zeros(3))


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("x")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """What a line that was trained for two epochs left behind."""
    folder = tmp_path_factory.mktemp("saved")
    fit_line(Checkpoint(str(folder)), epochs=2)
    return (folder / FILE).read_bytes()


def fit_line(saver, epochs, units=1):
    """Trains a line, or several; the model and how many epochs that took."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    model.compile("adam", "mse")
    keep = keras.callbacks.EarlyStopping("loss", patience=99, restore_best_weights=True)
    first = saver.restore(model, keep, EARLY_STOPPING, epochs)
    rows = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    model.fit(rows, rows, initial_epoch=first, epochs=epochs, verbose=0, callbacks=[keep, saver])
    return model, epochs - first


def test_what_was_saved_is_taken(saved, tmp_path):
    (tmp_path / FILE).write_bytes(saved)
    assert fit_line(Checkpoint(str(tmp_path)), epochs=5)[1] == 3


@pytest.mark.parametrize("spoil", [_cut, _change, _without_state, _empty, _text])
def test_a_spoiled_file_means_starting_anew(spoil, saved, tmp_path, caplog):
    (tmp_path / FILE).write_bytes(saved)
    spoil(tmp_path / FILE)
    caplog.set_level("INFO", "kembar.progress")
    model, trained = fit_line(Checkpoint(str(tmp_path)), epochs=2)
    assert trained == 2
    assert any(FILE in line and "starting anew" in line for line in caplog.messages)
    for one, other in zip(model.get_weights(), fit_line(Checkpoint(), 2)[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_another_model_saved_is_not_taken(saved, tmp_path, caplog):
    (tmp_path / FILE).write_bytes(saved)
    caplog.set_level("INFO", "kembar.progress")
    assert fit_line(Checkpoint(str(tmp_path)), epochs=2, units=2)[1] == 2
    assert any("not the" in line and "of this model" in line for line in caplog.messages)


def test_a_process_killed_while_it_writes_leaves_the_file_before(saved, tmp_path, monkeypatch):
    (tmp_path / FILE).write_bytes(saved)

    def die(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.tf.io.gfile, "rename", die)
        with pytest.raises(SystemExit):
            fit_line(Checkpoint(str(tmp_path)), epochs=5)
    assert (tmp_path / FILE).read_bytes() == saved
    assert (tmp_path / (FILE + ".new")).exists()
    assert fit_line(Checkpoint(str(tmp_path)), epochs=5)[1] == 3


def test_training_goes_on_where_nothing_can_be_saved(tmp_path, caplog):
    (tmp_path / "saved").write_text("a file, where a folder should be")
    caplog.set_level("INFO", "kembar.progress")
    assert fit_line(Checkpoint(str(tmp_path / "saved")), epochs=3)[1] == 3
    assert sum(line.startswith("no checkpoint after epoch") for line in caplog.messages) == 3


def test_a_save_waits_until_the_last_one_has_paid_off(tmp_path, monkeypatch):
    writes = []
    monkeypatch.setattr(Checkpoint, "_write", lambda _, path, epochs: writes.append(epochs))
    monkeypatch.setattr(checkpoint, "PAUSE", 1e9)
    fit_line(Checkpoint(str(tmp_path)), epochs=4)
    assert writes == [1]
    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    fit_line(Checkpoint(str(tmp_path)), epochs=4)
    assert writes == [1, 1, 2, 3, 4]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saver = Checkpoint()
    assert fit_line(saver, epochs=2)[1] == 2
    assert list(tmp_path.iterdir()) == []
    assert saver.details == {}


def test_the_folder_is_that_of_just_one_training():
    parts = ["spec", "code", "transform", "train", "a.gz"]
    folder = folder_of("/root", parts)
    assert folder == folder_of("/root", list(parts))
    assert len({folder, *(folder_of("/root", [*parts[:at], "x", *parts[at + 1 :]]) for at in range(5))}) == 6
    assert folder_of("/root", ["ab", "c"]) != folder_of("/root", ["a", "bc"])
    assert folder_of(None, parts) is folder_of("", parts) is None


def test_the_seconds_of_killed_processes_count(saved, tmp_path):
    with np.load(io.BytesIO(saved)) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    state = json.loads(content["state"].tobytes())
    assert state["seconds"] > 0
    content["state"] = np.frombuffer(json.dumps({**state, "seconds": 1_000.0}).encode(), np.uint8)
    np.savez(tmp_path / FILE, **content)
    saver = Checkpoint(str(tmp_path))
    fit_line(saver, epochs=3)
    assert 1_000 < saver.seconds < 2_000  # added, and added once


def leave(root, number, days, name=FILE):
    """A folder of a training that wrote to it last so many days ago."""
    folder = Path(folder_of(str(root), [str(number)]))
    folder.mkdir()
    (folder / name).write_text("x")
    then = time.time() - days * 86_400
    for path in (folder / name, folder):
        os.utime(path, (then, then))
    return folder


def test_a_finished_training_leaves_no_folder(tmp_path):
    checkpoint.remove(None)
    checkpoint.remove(str(tmp_path / "absent"))
    checkpoint.remove(str(leave(tmp_path, 1, 0)))
    assert list(tmp_path.iterdir()) == []


def test_it_takes_along_what_others_left_long_ago_and_nothing_else(tmp_path):
    own, old, half = (leave(tmp_path, number, checkpoint.KEPT_DAYS + 1) for number in range(3))
    (half / FILE).rename(half / (FILE + ".new"))  # killed while it saved for the first time
    os.utime(half, (0, 0))
    recent = leave(tmp_path, 3, checkpoint.KEPT_DAYS - 1)
    busy = leave(tmp_path, 4, checkpoint.KEPT_DAYS + 1)
    os.utime(busy / FILE)
    foreign = [tmp_path / "mine", tmp_path / "notes.txt"]
    foreign[0].mkdir()
    foreign[1].write_text("x")
    for path in foreign:
        os.utime(path, (0, 0))
    checkpoint.remove(str(own))
    assert {*tmp_path.iterdir()} == {recent, busy, *foreign}
    assert not old.exists()


def test_a_model_is_not_lost_for_a_folder_that_cannot_be_removed(tmp_path, monkeypatch, caplog):
    own, old = (leave(tmp_path, number, checkpoint.KEPT_DAYS + 1) for number in range(2))

    def refuse(path):
        raise checkpoint.tf.errors.PermissionDeniedError(None, None, f"{path} is not yours")

    monkeypatch.setattr(checkpoint, "remove_tree", refuse)
    caplog.set_level("INFO", "kembar.progress")
    checkpoint.remove(str(own))
    assert [f"{path} cannot be removed: {path} is not yours" in caplog.text for path in (own, old)] == [
        True
    ] * 2


def test_two_trainings_that_end_together_may_remove_the_same_folder(tmp_path, monkeypatch):
    own = leave(tmp_path, 0, 0)
    names = checkpoint.tf.io.gfile.listdir

    def list_then_lose(path):
        found = names(path)
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        return found

    leave(tmp_path, 1, checkpoint.KEPT_DAYS + 1)
    monkeypatch.setattr(checkpoint.tf.io.gfile, "listdir", list_then_lose)
    checkpoint.remove(str(own))
    assert list(tmp_path.iterdir()) == []
