from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from trainer.features import Label
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.spec import Spec

LABEL = Label(column="y", kind="score", range=(0, 5))
BINARY = Label(column="y", kind="binary")
CLASSES = Label(column="y", kind="classes", classes=("a", "b"))
FIELDS = ("max_tokens", "ngrams")


def spec(**changes) -> Spec:
    return Spec(**{"label": LABEL, "model": PairModel(), "training": PairTraining(), **changes})


def test_a_spec_survives_json():
    written = spec(
        model=PairModel(ngrams=(), max_tokens=7), training=PairTraining(seed=3, learning_rate=1e-2)
    )
    assert Spec.model_validate_json(written.model_dump_json()) == written


def test_a_step_is_told_the_features_and_its_own_fields_alone():
    plain = spec().narrowed(FIELDS)
    assert json.loads(plain)["model"] == {
        "family": "pair",
        "max_tokens": PairModel().max_tokens,
        "ngrams": list(PairModel().ngrams),
    }
    # Other epochs, encoders and sizes need no other transform ...
    same = spec(training=PairTraining(epochs=99), model=PairModel(encoder="lstm", embedding_dim=3))
    assert same.narrowed(FIELDS) == plain
    # ... another cut or label does.
    assert spec(model=PairModel(max_tokens=7)).narrowed(FIELDS) != plain
    assert spec(label=Label(column="y", kind="score", range=(0, 4))).narrowed(FIELDS) != plain


def test_what_a_step_is_told_is_a_spec_again():
    written = spec(model=PairModel(max_tokens=7, ngrams=(2, 5)))
    read = Spec.model_validate_json(written.narrowed(FIELDS))
    assert read.label == LABEL
    assert (read.model.max_tokens, read.model.ngrams) == (7, (2, 5))
    assert read.training == PairTraining()


def test_the_family_decides_what_the_model_and_its_training_are():
    read = Spec.model_validate(
        {"vector": {"dimension": 4}, "model": {"family": "vae"}, "training": {"family": "vae"}}
    )
    assert type(read.model).__name__ == "Vae"
    assert type(read.training).__name__ == "VaeTraining"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": None}, "'pair' needs a .data. label of kind score or binary or classes, found no label"),
        ({"vector": {"dimension": 4}}, "family 'pair' learns from pairs of texts"),
        ({"model": {"family": "vae"}, "training": {"family": "vae"}}, "family 'vae' learns from vectors"),
        ({"model": {"family": "tree"}}, "tree"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"training": {"family": "vae"}}, "model is of family 'pair', training of 'vae'"),
        ({"label": CLASSES, "model": PairModel(head="cosine")}, "head = 'cosine' gives one number"),
        ({"label": CLASSES, "training": PairTraining(loss="mse")}, "loss = 'mse' is not for classes"),
        ({"training": PairTraining(loss="in_batch")}, "loss = 'in_batch' is for pairs that match"),
        (
            {
                "model": PairModel(encoder="pretrained", weights="folder"),
                "training": PairTraining(tokens_per_batch=64),
            },
            "tokens_per_batch is for towers that are trained",
        ),
        *(
            (
                {"label": BINARY, "model": PairModel(head=head), "training": PairTraining(loss="in_batch")},
                f"loss = 'in_batch' trains the tower alone, and head = '{head}' .*: leave head out",
            )
            for head in ("interaction", "concatenation")
        ),
        (
            {"training": PairTraining(label_smoothing=0.1)},
            "label_smoothing belongs to loss = 'cross_entropy'",
        ),
        ({"training": PairTraining(class_weights="balanced")}, "class_weights is for labels of kind"),
        (
            {"label": BINARY, "training": PairTraining(class_weights="balanced", loss="cosent")},
            "loss = 'cosent' compares rows with each other",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        spec(**changes)


@pytest.mark.parametrize("head", [None, "cosine"])
def test_a_loss_within_the_batch_goes_with_the_cosine(head):
    found = spec(label=BINARY, model=PairModel(head=head), training=PairTraining(loss="in_batch"))
    assert (found.model.head, found.training.loss) == (head, "in_batch")
