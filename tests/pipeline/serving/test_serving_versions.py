import shutil
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.serving.errors import ServingError
from pipeline.serving.folder import discover, latest, load_served
from pipeline.serving.model_store import ModelStore, VersionStatus
from pipeline.serving.warmup import WARMUP_FILE
from pipeline.serving.watcher import Watcher


def touch_version(base_dir, name):
    folder = base_dir / name
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    return folder


def write_warmup(folder, *texts, signature="embed"):
    """One PredictionLog for each text."""
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for text in texts:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.model_spec.signature_name = signature
            log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
            writer.write(log.SerializeToString())


def ask(store):
    inputs = {"text_a": np.array(["a"]), "text_b": np.array(["a"])}
    return store.current.predict("", inputs)["score"].item()


def test_discover_takes_numbers_with_a_saved_model_only(base_dir):
    names = ["2", "10", "9223372036854775807"]
    others = ["tmp-3", ".4", "5.tmp", "-6", "1e3", "\u0667", "9223372036854775808", "_", "v8", "9" * 30]
    paths = {int(name): touch_version(base_dir, name) for name in names}
    for name in others:
        touch_version(base_dir, name)
    (base_dir / "11").mkdir()  # still empty
    (base_dir / "12").touch()  # no directory
    assert discover(base_dir) == paths
    assert latest(base_dir) == base_dir / "9223372036854775807"


def test_discover_prefers_the_plain_spelling_of_a_number(base_dir):
    touch_version(base_dir, "007")
    plain = touch_version(base_dir, "7")
    assert discover(base_dir) == {7: plain}


def test_nothing_there(base_dir):
    assert discover(base_dir / "missing") == {}
    assert latest(base_dir) is None
    with pytest.raises(ServingError, match="no version is served; push one with `kembar run`"):
        load_served(base_dir)
    store = ModelStore(base_dir)
    assert not store.refresh()
    assert store.current is None
    assert store.statuses() == []


def test_load_served(push):
    push(3)
    path = push(12, offset=2)
    model = load_served(path.parent)
    assert (model.version, model.path) == (12, path)


def test_newer_version_takes_over_and_older_one_ends(base_dir, push):
    push(1)
    store = ModelStore(base_dir)
    assert store.refresh()
    old = store.current
    assert ask(store) == 1.0
    assert not store.refresh()
    push(2, offset=2)
    assert store.refresh()
    assert ask(store) == 2.0
    assert store.statuses() == [VersionStatus(2, "AVAILABLE"), VersionStatus(1, "END")]
    # A request that began on the old version can still finish.
    assert old.predict("embed", {"text": np.array(["abc"])})["embedding"].tolist() == [[3.0, 1.0]]


def test_old_version_is_freed_a_look_after_the_swap(base_dir, push):
    push(1)
    store = ModelStore(base_dir)
    store.refresh()
    old = weakref.ref(store.current)
    push(2)
    assert store.refresh()
    assert old() is not None, "freeing it holds up the first requests to the new one"
    assert not store.refresh()
    assert old() is None


def test_version_that_cannot_be_loaded_leaves_the_old_one_in_service(base_dir, push, caplog):
    push(1)
    store = ModelStore(base_dir)
    store.refresh()
    broken = touch_version(base_dir, "2")
    (broken / "saved_model.pb").write_bytes(b"\xff\xff")
    assert not store.refresh()
    assert ask(store) == 1.0
    failed, served = store.statuses()
    assert served == VersionStatus(1, "AVAILABLE")
    assert (failed.version, failed.state) == (2, "END")
    assert "cannot be loaded" in failed.error
    assert "\n" not in failed.error
    assert "version 2 cannot be served" in caplog.text
    # It is not tried again and again ...
    assert not store.refresh()
    assert store.load_failures == 1
    # ... unless its files change.
    shutil.rmtree(broken)
    push(2, offset=2)
    assert store.refresh()
    assert ask(store) == 2.0


def test_start_on_a_broken_push_serves_the_version_before(base_dir, push):
    push(4)
    touch_version(base_dir, "5")
    store = ModelStore(base_dir)
    assert store.refresh()
    assert store.current.version == 4
    assert [(status.version, status.state) for status in store.statuses()] == [(5, "END"), (4, "AVAILABLE")]


def test_vanished_directory_goes_on_and_rollback_takes_over(base_dir, push):
    push(1)
    second = push(2, offset=2)
    store = ModelStore(base_dir)
    store.refresh()
    hidden = base_dir.rename(base_dir.parent / "hidden")
    assert not store.refresh()
    assert ask(store) == 2.0
    hidden.rename(base_dir)
    assert not store.refresh()
    shutil.rmtree(second)
    assert store.refresh()
    assert ask(store) == 1.0
    assert not store.refresh()
    assert store.statuses() == [VersionStatus(1, "AVAILABLE")]


def test_warm_up_replays_predict_requests(base_dir, push, caplog):
    caplog.set_level("INFO", logger="pipeline.serving")
    write_warmup(push(1), "a", "bc")
    store = ModelStore(base_dir)
    assert store.refresh()
    assert "version 1 in service" in caplog.text
    assert "2 warm-up requests" in caplog.text


@pytest.mark.parametrize("damage", ["unknown signature", "cut short"])
def test_version_that_fails_its_own_warm_up_is_not_served(base_dir, push, damage):
    push(1)
    store = ModelStore(base_dir)
    store.refresh()
    second = push(2, offset=2)
    write_warmup(second, "a", signature="nope" if damage == "unknown signature" else "embed")
    if damage == "cut short":
        path = second / WARMUP_FILE
        path.write_bytes(path.read_bytes()[:-3])
    assert not store.refresh()
    assert ask(store) == 1.0
    assert "warm-up request 1 failed" in store.statuses()[0].error


def test_watcher_follows_until_stopped(base_dir, push):
    store = ModelStore(base_dir)
    watcher = Watcher(store, interval=0.02)
    watcher.start()
    push(1)
    deadline = time.monotonic() + 20
    while store.current is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.current.version == 1
    watcher.stop()
    assert not watcher._thread.is_alive()
    push(2, offset=2)
    assert store.current.version == 1


def test_watcher_survives_the_unexpected(base_dir, monkeypatch):
    store = ModelStore(base_dir)
    looks = []

    def refresh():
        looks.append(1)
        raise RuntimeError("no such luck")

    monkeypatch.setattr(store, "refresh", refresh)
    watcher = Watcher(store, interval=0.01)
    watcher.start()
    deadline = time.monotonic() + 10
    while len(looks) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    watcher.stop()
    assert len(looks) >= 3
