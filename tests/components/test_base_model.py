"""From which model a training starts."""

import pytest

from components.champion import PUSHED_DESTINATION, PUSHED_VERSION
from components.resolvers.champion import WarmStartStrategy
from components.resolvers.window import EXAMPLES_IDS
from components.version_folder.pins import STABLE, Pins, write_pins
from tests.components.artifacts import model, pushed


def made_from(artifact, *examples):
    artifact.set_string_custom_property(EXAMPLES_IDS, ",".join(map(str, examples)))
    return artifact


def start(pushes, examples):
    """The id of the model that a training on `examples` starts from."""
    found = WarmStartStrategy().resolve_artifacts(
        None,
        {
            "base": [model(number) for number in (1, 2, 3)],
            "pushed": pushes,
            "examples": [model(number) for number in examples],  # only ids matter
        },
    )
    return [artifact.id for artifact in found["base"]]


@pytest.mark.parametrize(
    ("sources", "examples", "base"),
    [
        ([], [7], []),  # nothing is in service
        ([[7]], [8], [1]),
        ([[7]], [7], []),  # the same again: as it was the first time, so that the cache holds
        ([[7], [8]], [8], [1]),
        ([[7], [8], [8]], [8], [1]),  # two trainings on the same data, as with another seed
        ([[7], [8]], [7], [2]),  # back to older data: the model in service is of other data
        ([[7], [7, 8]], [8, 7], [1]),  # a window of spans, in any order
        ([[7], [7, 8]], [7, 8, 9], [2]),
        ([[7], [17]], [7], [2]),
    ],
)
def test_it_is_the_model_in_service_unless_this_data_made_it(sources, examples, base):
    pushes = [made_from(pushed(100 + at, at + 1), *sorted(ids)) for at, ids in enumerate(sources)]
    assert start(pushes, examples) == base


def test_a_push_that_did_not_happen_or_is_of_an_older_kembar():
    assert start([made_from(pushed(100, 1), 7), pushed(101, 2, really=False)], [8]) == [1]
    assert start([pushed(100, 1)], [8]) == [1]  # it does not say what it was made from


@pytest.mark.parametrize(("pinned", "examples", "base"), [(1, [9], [1]), (1, [7], []), (None, [9], [2])])
def test_a_pinned_version_is_the_one_in_service(tmp_path, pinned, examples, base):
    folder = tmp_path / "twins"
    pushes = [made_from(pushed(100, 1), 7), made_from(pushed(101, 2), 8)]
    for version, artifact in enumerate(pushes, 1):
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").write_text("a model")
        artifact.set_string_custom_property(PUSHED_DESTINATION, str(folder / str(version)))
        artifact.set_string_custom_property(PUSHED_VERSION, str(version))
    write_pins(folder, "twins", None if pinned is None else Pins((pinned,), {STABLE: pinned}))
    assert start(pushes, examples) == base
