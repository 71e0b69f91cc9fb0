"""Which model a candidate is compared with."""

import pytest
from tfx.types import standard_artifacts

from components.champion import PUSHED_DESTINATION, PUSHED_VERSION
from components.resolvers.champion import ChampionStrategy, NewToStrategy
from components.resolvers.window import EXAMPLES_IDS
from components.version_folder.pins import STABLE, Pins, write_pins
from tests.components.artifacts import model, pushed
from trainer.dense.dense_config import Dense, DenseTraining
from trainer.features import Label
from trainer.fitting.warm_start import FOLDER, SPEC
from trainer.spec import Spec, VectorSpec
from trainer.vae.vae_config import Vae, VaeTraining

CLASSES = Label(column="y", kind="classes", classes=("no", "yes"))
SCORES = Label(column="y", kind="score", range=(0, 5))
ASKED = Spec(label=SCORES).task()


def dense(label=CLASSES, dimension=4, **more):
    vector = VectorSpec(dimension=dimension, names=("v",), **more)
    return Spec(label=label, vector=vector, model=Dense(), training=DenseTraining())


def vae(label=None, dimension=4):
    vector = VectorSpec(dimension=dimension, names=("v",))
    return Spec(label=label, vector=vector, model=Vae(), training=VaeTraining())


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
    found = ChampionStrategy(ASKED).resolve_artifacts(
        None,
        {
            "champion": [model(number) for number in (1, 2, 3)],
            "pushed": [pushed(100 + at, number) for at, number in enumerate(pushes)],
            "candidate": [model(candidate)],
        },
    )
    assert [artifact.id for artifact in found["champion"]] == champion


def test_a_push_that_did_not_happen_does_not_count():
    found = ChampionStrategy(ASKED).resolve_artifacts(
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
        (base / str(version) / "saved_model.pb").write_text("a model")
        artifact.set_string_custom_property(PUSHED_DESTINATION, str(base / str(version)))
        artifact.set_string_custom_property(PUSHED_VERSION, str(version))
    write_pins(base, "twins", None if pinned is None else Pins((pinned,), {STABLE: pinned}))
    models = [model(number) for number in (1, 2, 3)]
    found = ChampionStrategy(ASKED).resolve_artifacts(
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
        return [found.id for found in NewToStrategy(ASKED).resolve_artifacts(None, told)["served"]]

    assert served(pushes) == [2]
    assert served(pushes[:1]) == [1]
    assert served(pushes[2:]) == []


@pytest.mark.parametrize(
    ("left", "now", "said"),
    [
        (Spec(label=CLASSES), Spec(label=CLASSES), None),
        (Spec(label=CLASSES), Spec(label=CLASSES.model_copy(update={"column": "z"})), None),
        (Spec(label=SCORES), Spec(label=Label(column="y", kind="score", range=(0.0, 5.0))), None),
        (dense(), dense(range=(0, 1)), None),
        (vae(), vae(CLASSES), None),  # it learns from no label
        (
            Spec(label=CLASSES),
            Spec(label=CLASSES.model_copy(update={"classes": ("yes", "no")})),
            '[data] label classes = ["yes", "no"], but it has ["no", "yes"]',
        ),
        (
            Spec(label=CLASSES),
            Spec(label=CLASSES.model_copy(update={"classes": ("no", "yes", "both")})),
            '[data] label classes = ["no", "yes", "both"], but it has ["no", "yes"]',
        ),
        (
            Spec(label=SCORES),
            Spec(label=SCORES.model_copy(update={"range": (1.0, 5.0)})),
            "[data] label range = [1.0, 5.0], but it has [0.0, 5.0]",
        ),
        (
            Spec(label=SCORES),
            Spec(label=Label(column="y", kind="binary")),
            '[data] label kind = "binary", but it has "score"; '
            "[data] label range = null, but it has [0.0, 5.0]",
        ),
        (dense(), dense(dimension=5), "[data] vector dimension = 5, but it has 4"),
        (dense(), vae(), '[model] family = "vae", but it has "dense"'),
        (
            Spec(label=CLASSES),
            vae(),
            '[model] family = "vae", but it has "pair"; [data] vector dimension = 4, but it has null',
        ),
    ],
)
def test_a_model_that_is_asked_something_else_is_no_champion(tmp_path, caplog, left, now, said):
    served = model(1)
    served.uri = str(tmp_path)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / SPEC).write_text(left.model_dump_json())
    told = {"pushed": [pushed(100, 1)], "examples": []}
    caplog.set_level("INFO", "kembar.progress")
    champion = ChampionStrategy(now.task()).resolve_artifacts(None, {"champion": [served], **told})
    measured = NewToStrategy(now.task()).resolve_artifacts(None, {"served": [served], **told})
    assert champion["champion"] == measured["served"] == ([] if said else [served])
    assert caplog.messages == (
        [
            f"the model in service is {role}: {said}"
            for role in ("no champion", "not measured on the new data")
        ]
        if said
        else []
    )
