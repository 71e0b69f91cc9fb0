"""Which model a candidate is compared with."""

import pytest
from tfx.types import standard_artifacts

from components.atomic_pusher.pins import STABLE, Pins, write_pins
from components.champion import MODEL_ID, PUSHED_DESTINATION, PUSHED_VERSION
from components.champion.strategy import ChampionStrategy, NewToStrategy
from components.window.strategy import EXAMPLES_IDS


def model(number):
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def pushed(at, number, *, really=True):
    artifact = standard_artifacts.PushedModel()
    artifact.id = at
    artifact.set_int_custom_property("pushed", int(really))
    if really:
        artifact.set_int_custom_property(MODEL_ID, number)
    return artifact


@pytest.mark.parametrize(
    ("pushes", "candidate", "champion"),
    [
        ([], 1, []),  # nothing is in service
        ([1], 2, [1]),
        ([1, 2], 3, [2]),
        ([1], 1, []),  # the same again: as it was the first time, so that the cache holds
        ([1, 2], 2, [1]),
        ([1, 2, 2], 2, [1]),  # pushed again after its folder was deleted
        ([1, 2], 1, [2]),  # back to an older model: it has to beat the one in service
        ([1, 2, 1], 1, [2]),
    ],
)
def test_the_candidate_meets_the_model_in_service(pushes, candidate, champion):
    found = ChampionStrategy().resolve_artifacts(
        None,
        {
            "champion": [model(number) for number in (1, 2, 3)],
            "pushed": [pushed(100 + at, number) for at, number in enumerate(pushes)],
            "candidate": [model(candidate)],
        },
    )
    assert [artifact.id for artifact in found["champion"]] == champion


def test_a_push_that_did_not_happen_does_not_count():
    found = ChampionStrategy().resolve_artifacts(
        None,
        {
            "champion": [model(1), model(2)],
            "pushed": [pushed(100, 1), pushed(101, 2, really=False)],
            "candidate": [model(3)],
        },
    )
    assert [artifact.id for artifact in found["champion"]] == [1]


@pytest.mark.parametrize(
    ("pinned", "candidate", "champion"), [(1, 3, [1]), (2, 3, [2]), (None, 3, [2]), (1, 1, [])]
)
def test_the_champion_is_the_pinned_version(tmp_path, pinned, candidate, champion):
    base = tmp_path / "twins"
    pushes = [pushed(100, 1), pushed(101, 2)]
    for version, artifact in enumerate(pushes, 1):
        (base / str(version)).mkdir(parents=True)
        artifact.set_string_custom_property(PUSHED_DESTINATION, str(base / str(version)))
        artifact.set_string_custom_property(PUSHED_VERSION, str(version))
    write_pins(base, "twins", None if pinned is None else Pins((pinned,), {STABLE: pinned}))
    models = [model(number) for number in (1, 2, 3)]
    found = ChampionStrategy().resolve_artifacts(
        None, {"champion": models, "pushed": pushes, "candidate": [model(candidate)]}
    )
    assert [artifact.id for artifact in found["champion"]] == champion


def test_a_model_is_not_measured_on_what_it_was_trained_on():
    examples = standard_artifacts.Examples()
    examples.id = 7
    pushes = [pushed(100, 1), pushed(101, 2), pushed(102, 3)]
    for artifact, ids in zip(pushes, ("5", "5,6", "6,7,17"), strict=True):
        artifact.set_string_custom_property(EXAMPLES_IDS, ids)
    models = [model(number) for number in (1, 2, 3)]

    def served(artifacts):
        told = {"served": models, "pushed": artifacts, "examples": [examples]}
        return [found.id for found in NewToStrategy().resolve_artifacts(None, told)["served"]]

    assert served(pushes) == [2]
    assert served(pushes[:1]) == [1]
    assert served(pushes[2:]) == []
