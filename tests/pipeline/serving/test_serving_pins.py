"""Pinned versions and labels, as the pusher writes them into TF Serving's model config file."""

import pytest

from components.version_folder.pins import Pins, config_file, write_pins
from pipeline.serving.errors import ServingError
from pipeline.serving.folder import load_served
from pipeline.serving.model_store import ModelStore

PAIR = {"instances": [{"text_a": "a", "text_b": "b"}]}


def loaded(store) -> list[int]:
    return [status.version for status in store.statuses() if status.state == "AVAILABLE"]


@pytest.fixture
def store(base_dir, push):
    """Versions 1 and 2, which answer 1.0 and 2.0; the newest is in service."""
    push(1, offset=1)
    push(2, offset=2)
    store = ModelStore(base_dir, name="twin")
    store.refresh()
    assert loaded(store) == [2]
    return store


def test_a_pin_is_followed_back_and_forth(store, base_dir, push):
    write_pins(base_dir, "twin", Pins((1,), {"stable": 1}))
    assert store.refresh()
    assert (store.current.version, loaded(store)) == (1, [1])
    assert load_served(base_dir, "twin").version == 1
    push(3, offset=2)
    assert not store.refresh()
    assert store.current.version == 1
    write_pins(base_dir, "twin", None)
    assert store.refresh()
    assert store.current.version == 3
    assert load_served(base_dir, "twin").version == 3


def test_two_pinned_versions_answer_by_number_and_label(store, base_dir, make_client):
    write_pins(base_dir, "twin", Pins((1, 2), {"stable": 1, "canary": 2}))
    store.refresh()
    client = make_client(store)
    scores = {
        path: client.predict(PAIR, path=f"/v1/models/twin{path}:predict").json()["predictions"][0]
        for path in ("", "/versions/1", "/versions/2", "/labels/stable", "/labels/canary", "/versions/0")
    }
    assert scores == {
        "": 2.0,
        "/versions/1": 1.0,
        "/versions/2": 2.0,
        "/labels/stable": 1.0,
        "/labels/canary": 2.0,
        "/versions/0": 2.0,
    }
    [status] = client.get("/v1/models/twin/labels/stable").json()["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "AVAILABLE")
    assert client.get("/v1/models/twin/labels/stable/metadata").json()["model_spec"]["version"] == "1"
    answer = client.predict(PAIR, path="/v1/models/twin/labels/nightly:predict")
    assert answer.status_code == 400
    assert answer.json() == {"error": "Unrecognized servable version label: nightly"}


def test_a_label_of_a_version_that_is_not_loaded(store, base_dir, make_client):
    write_pins(base_dir, "twin", Pins((), {"stable": 1}))
    store.refresh()
    answer = make_client(store).predict(PAIR, path="/v1/models/twin/labels/stable:predict")
    assert (answer.status_code, loaded(store)) == (404, [2])


def test_a_pin_that_cannot_be_had_changes_nothing(store, base_dir):
    write_pins(base_dir, "twin", Pins((9,)))
    assert not store.refresh()
    assert loaded(store) == [2]
    with pytest.raises(ServingError, match="version 9 is pinned but is not there"):
        load_served(base_dir, "twin")
    config_file(base_dir).write_text("model_config_list {")
    assert not store.refresh()
    assert loaded(store) == [2]
    fresh = ModelStore(base_dir, name="twin")
    assert not fresh.refresh() or fresh.current.version == 2


def test_why_nothing_is_served(base_dir, push):
    push(1)
    write_pins(base_dir, "twin", Pins((9,)))
    store = ModelStore(base_dir, name="twin")
    store.refresh()
    assert store.current is None
    assert "version 9 is pinned but is not there" in store.missing()
