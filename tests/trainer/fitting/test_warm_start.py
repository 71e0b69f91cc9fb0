"""A training that starts from the weights of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.small_trainings import WORDS, after_epoch, data_of, spec_of, train
from trainer.errors import ConfigError
from trainer.features import Label
from trainer.fitting import checkpoint, warm_start
from trainer.fitting.checkpoint import Checkpoint
from trainer.pair.encoders import build_tower
from trainer.pair.heads import build_pair
from trainer.pair.pair_config import PairModel
from trainer.spec import Spec, VectorSpec

ENCODERS = ("average", "lstm", "bilstm", "cnn", "attention")
KNOWN, ALL = (b"one", b"two"), (b"one", b"two", b"three")
BUCKETS = 3
# With such a rate no epoch is better than the start.
USELESS = {"learning_rate": 3.0, "epochs": 3}


def pair_spec(**changes) -> Spec:
    """Few tokens; `changes` are of `[model]`."""
    model = {"embedding_dim": 4, "units": 4, "hidden": 5, "oov_buckets": BUCKETS, "ngrams": ()}
    label = changes.pop("label", Label(column="y", kind="score", range=(0, 5)))
    return Spec(label=label, model=PairModel(**{**model, **changes}))


def pair_of(spec: Spec, tokens: int):
    return build_pair(spec.model, build_tower(spec.model, 1 + tokens + BUCKETS), spec.label.count)


def base_of(folder, spec=None):
    """What a model of two tokens left."""
    spec = spec or pair_spec()
    warm_start.leave(str(folder), pair_of(spec, len(KNOWN)), spec, KNOWN)
    return warm_start.find(str(folder), spec)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_known_rows_and_buckets_are_carried_over_and_new_rows_are_not(encoder, tmp_path):
    spec = pair_spec(encoder=encoder, head="interaction")
    base, model = base_of(tmp_path, spec), pair_of(spec, len(ALL))
    first = {weight.path: weight.numpy().copy() for weight in model.trainable_weights}
    warm_start.carry_over(model, base, ALL, BUCKETS)
    assert len(first) == len(base.weights)
    tables = 0
    for weight in model.trainable_weights:
        old, now = base.weights[weight.path], weight.numpy()
        if weight.path.split("/")[0] not in ("tokens", "token_weights"):
            np.testing.assert_array_equal(now, old)
            continue
        tables += 1
        assert len(now) == len(old) + 1 == 1 + len(ALL) + BUCKETS
        np.testing.assert_array_equal(now[:3], old[:3])  # padding, "one", "two"
        np.testing.assert_array_equal(now[3], first[weight.path][3])  # "three"
        np.testing.assert_array_equal(now[4:], old[3:])  # the buckets
    assert tables == (2 if encoder == "average" else 1)


def test_known_texts_score_as_they_did(tmp_path):
    spec = pair_spec()
    before = pair_of(spec, len(KNOWN))
    warm_start.leave(str(tmp_path), before, spec, KNOWN)
    after = pair_of(spec, len(ALL))
    warm_start.carry_over(after, warm_start.find(str(tmp_path), spec), ALL, BUCKETS)
    # The buckets begin at id 3, and with one token more at 4.
    for model, bucket in ((before, 3), (after, 4)):
        ids = {"ids_a": np.array([[1, 2], [bucket, 1]]), "ids_b": np.array([[2, 0], [bucket + 2, 2]])}
        model.answers = model(ids).numpy()
    np.testing.assert_allclose(after.answers, before.answers, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder": "lstm"}, "[model] encoder = 'lstm', but the model in service has 'average'"),
        ({"embedding_dim": 8}, "[model] embedding_dim = 8, but the model in service has 4"),
        ({"units": 8}, "[model] units = 8, but the model in service has 4"),
        ({"head": "interaction"}, "[model] head = 'interaction', but the model in service has None"),
        ({"hidden": 6}, "[model] hidden = 6, but the model in service has 5"),
        ({"ngrams": (3,)}, "[model] ngrams = (3,), but the model in service has ()"),
        ({"lowercase": False}, "[model] lowercase = False, but the model in service has True"),
        ({"oov_buckets": 4}, "[model] oov_buckets = 4, but the model in service has 3"),
        (
            {"label": Label(column="y", kind="binary")},
            "[data] label kind = 'binary', but the model in service has 'score'",
        ),
        (
            {"label": Label(column="y", kind="score", range=(0, 4))},
            "[data] label range = (0.0, 4.0), but the model in service has (0.0, 5.0)",
        ),
    ],
)
def test_another_shape_is_refused_with_key_and_values(change, said, tmp_path):
    base_of(tmp_path)
    with pytest.raises(ConfigError) as refused:
        warm_start.find(str(tmp_path), pair_spec(**change))
    assert str(refused.value) == (
        f"[retraining] warm_start = true: {said}: put it back; "
        "to train from scratch once, add --set retraining.warm_start=false"
    )


def test_other_classes_are_refused(tmp_path):
    two, three = (Label(column="y", kind="classes", classes=tuple(names)) for names in ("ab", "abc"))
    base_of(tmp_path, pair_spec(label=two))
    with pytest.raises(ConfigError, match=r"\[data\] label classes = \('a', 'b', 'c'\), but"):
        warm_start.find(str(tmp_path), pair_spec(label=three))


def test_what_does_not_change_a_shape_may_change(tmp_path):
    base_of(tmp_path)
    label = Label(column="renamed", kind="score", range=(0, 5))
    changed = pair_spec(dropout=0.0, max_tokens=7, vocabulary_size=3, min_frequency=2, label=label)
    assert warm_start.find(str(tmp_path), changed).tokens == KNOWN


def test_another_family_and_other_vectors_are_refused(tmp_path):
    base_of(tmp_path / "pair")
    with pytest.raises(ConfigError, match="family = 'dense', but the model in service has 'pair'"):
        warm_start.find(str(tmp_path / "pair"), spec_of("dense"))
    model, _ = train("dense", data_of("dense", tmp_path), epochs=1)
    warm_start.leave(str(tmp_path / "dense"), model, spec_of("dense"))
    wider = spec_of("dense").model_copy(update={"vector": VectorSpec(dimension=9, range=(0, 1))})
    with pytest.raises(ConfigError, match="vector dimension = 9, but the model in service has 4"):
        warm_start.find(str(tmp_path / "dense"), wider)


def test_a_model_that_left_nothing_or_something_else_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"left no .*absent: it is of an older Kembar; to train from scratch"
    ):
        warm_start.find(str(tmp_path / "absent"), pair_spec())
    base_of(tmp_path)
    (tmp_path / warm_start.SPEC).write_text('{"model": {"size": 3}}')
    with pytest.raises(ConfigError, match=r"cannot be read: .*size"):
        warm_start.find(str(tmp_path), pair_spec())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    base = base_of(tmp_path)
    short = replace(base, weights={**base.weights, "score/bias": np.zeros(2)})
    with pytest.raises(ConfigError, match=r"'score/bias' is \[1\], in the model in service \[2\]"):
        warm_start.carry_over(pair_of(base.spec, 3), short, ALL, BUCKETS)
    with pytest.raises(ConfigError, match="has no weight 'hidden/kernel'"):
        warm_start.carry_over(pair_of(pair_spec(head="interaction"), 3), base, ALL, BUCKETS)
    with pytest.raises(ConfigError, match="does not begin with that of the model in service"):
        warm_start.carry_over(pair_of(base.spec, 3), base, (b"two", b"one", b"three"), BUCKETS)


@pytest.fixture
def left(tmp_path):
    """Trains a model and finds what it left: kind to model, data and base."""

    def make(kind, **changes):
        data = data_of(kind, tmp_path)
        model, log = train(kind, data, epochs=2, **changes)
        pairs = kind not in ("vae", "dense")
        tokens = data.transform.vocabulary_by_name("tokens") if pairs else []
        folder = str(tmp_path / "left")
        warm_start.leave(folder, model, spec_of(kind, **changes), tokens)
        return model, log, replace(data, base=warm_start.find(folder, spec_of(kind, **changes)))

    return make


@pytest.mark.parametrize(
    "kind",
    ["pair", "dense", *(pytest.param(other, marks=pytest.mark.slow) for other in ("vae", "lstm", "classes"))],
)
def test_where_no_epoch_is_better_the_start_remains(kind, left):
    changes = {"calibrated": False} if kind not in ("vae", "dense") else {}
    before, _, data = left(kind, **changes)
    after, log = train(kind, data, **changes, **USELESS)
    paths = [weight.path for weight in before.trainable_weights]
    for path, one, other in zip(paths, before.trainable_weights, after.trainable_weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=path)
    assert log.epochs > 0
    if kind != "vae":
        assert log.details["best_epoch"] == 0
        watched = "val_loss" if kind == "dense" else next(name for name in log.history if "eval" in name)
        better = min if kind == "dense" else max
        assert better(log.details["start"], *log.history[watched]) == log.details["start"]


def test_a_start_that_is_beaten_does_not_remain(left):
    before, log, data = left("pair", calibrated=False, dropout=0.0)
    after, again = train("pair", data, calibrated=False, dropout=0.0, epochs=20)
    assert again.details["best_epoch"] > 0
    assert max(again.history["eval_spearman"]) > again.details["start"]
    # It began where the other had ended.
    assert again.details["start"] == pytest.approx(max(log.history["eval_spearman"]))
    assert (again.details["known_tokens"], again.details["new_tokens"]) == (WORDS, 0)
    assert not np.array_equal(before.get_weights()[0], after.get_weights()[0])


@pytest.mark.parametrize(
    "kind", ["dense", *(pytest.param(other, marks=pytest.mark.slow) for other in ("pair", "vae"))]
)
def test_a_warm_start_that_was_killed_ends_as_if_it_had_not_been(kind, left, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    _, _, data = left(kind)
    expected, log = train(kind, data, patience=9)
    saved = replace(data, checkpoints=str(tmp_path / "saved"))

    def stop():
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", after_epoch(3, stop))
        with pytest.raises(SystemExit):
            train(kind, saved, patience=9)
    resumed, again = train(kind, saved, patience=9)
    for one, other in zip(expected.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.details == {**log.details, "resumed_after_epoch": 3}


def test_the_vocabulary_that_is_full_is_told(tmp_path, caplog):
    base = base_of(tmp_path)
    caplog.set_level("INFO", "kembar.progress")
    assert warm_start.growth(base, ALL, 10) == {"known_tokens": 2, "new_tokens": 1}
    warm_start.growth(base, ALL, 3)
    assert caplog.messages == [
        "vocabulary  2 tokens of the model in service, 1 new ones",
        "vocabulary  2 tokens of the model in service, 1 new ones: [model] vocabulary_size = 3 is reached",
    ]
