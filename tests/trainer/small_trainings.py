"""A small training of each family: transformed examples in files, and the specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.dense.dense_config import Dense, DenseTraining
from trainer.families import family_of
from trainer.features import Label
from trainer.fitting.training import TrainingLog, TransformedData
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.spec import Spec, VectorSpec
from trainer.vae.vae_config import Vae, VaeTraining

EPOCHS, WIDTH, WORDS, OOV = 6, 4, 9, 2
FAMILIES = ("pair", "lstm", "vae", "dense")
# Those that learn from pairs: scores by an average and by an LSTM, classes, binary labels.
PAIRS = ("pair", "lstm", "classes", "binary")
_LABEL = Label(column="y", kind="score", range=(0, 1))
_CLASSES = Label(column="y", kind="classes", classes=("a", "b"))
_BINARY = Label(column="y", kind="binary")


class Transform:
    """Stands for TFTransformOutput, as far as training looks at it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.transformed_feature_spec = lambda: spec

    def vocabulary_size_by_name(self, name: str) -> int:
        return {"tokens": WORDS}[name]

    def vocabulary_file_by_name(self, name: str) -> str:
        return name

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        return [b"%d" % at for at in range(self.vocabulary_size_by_name(name))]


def spec_of(kind: str, **changes: Any) -> Spec:
    """Dropout, noise, averaged weights, a schedule and early stopping: all that has a state."""
    common = {"epochs": EPOCHS, "batch_size": 8, "learning_rate": 0.02, "seed": 3}
    if kind in PAIRS:
        model = PairModel(
            encoder=changes.pop("encoder", "lstm" if kind == "lstm" else "average"),
            embedding_dim=4,
            units=3,
            oov_buckets=OOV,
            ngrams=(),
            dropout=changes.pop("dropout", 0.3),
        )
        label = {"classes": _CLASSES, "binary": _BINARY}.get(kind, _LABEL)
        return Spec(label=label, model=model, training=PairTraining(**common | {"patience": 2} | changes))
    vector = VectorSpec(dimension=WIDTH, range=(0, 1))
    if kind == "dense":
        hidden = changes.pop("hidden", (5,))
        training = DenseTraining(**common | {"patience": 2} | changes)
        return Spec(label=_CLASSES, vector=vector, model=Dense(hidden=hidden), training=training)
    model = Vae(encoder=(5,), latent=2, binarization="dynamic", kl_warmup_epochs=2, importance_samples=2)  # type: ignore[assignment]
    extra = {"weight_average": 0.8, "warmup_epochs": 1, "clip_norm": 1.0, "patience": 3}
    return Spec(vector=vector, model=model, training=VaeTraining(**common | extra | changes))


def data_of(kind: str, folder: Path, checkpoints: Path | None = None, rows: int = 45) -> TransformedData:
    """The same files every time; their logs go to a folder of their own."""
    pairs = kind in PAIRS
    make = _pair if pairs else _vector
    files = {}
    for at, split in enumerate(("train", "eval")):
        path = folder / kind / f"{split}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(at)
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for _ in range(rows):
                writer.write(make(rng).SerializeToString())
        files[split] = [str(path)]
    ids = {name: tf.io.VarLenFeature(tf.int64) for name in ("ids_a", "ids_b")}
    vector = {"vector": tf.io.FixedLenFeature([WIDTH], tf.float32)}
    label = {"label": tf.io.FixedLenFeature([1], tf.float32 if pairs else tf.int64)}
    transform = Transform({**(ids if pairs else vector), **label})
    log_dir = folder / "logs"
    return TransformedData(files, transform, str(log_dir), None if checkpoints is None else str(checkpoints))


def train(kind: str, data: TransformedData, **changes: Any) -> tuple[keras.Model, TrainingLog]:
    """The family's own training."""
    spec = spec_of(kind, **changes)
    fitted = family_of(spec).fit(data, spec)
    return fitted.model, fitted.log


def after_epoch(epoch: int, act: Callable[[], None]) -> Callable[..., None]:
    """`Checkpoint.on_epoch_end` that acts when `epoch` epochs are done and, if it was time to, saved."""
    from trainer.fitting.checkpoint import Checkpoint

    save = Checkpoint.on_epoch_end

    def on_epoch_end(self: Checkpoint, at: int, logs: Any = None) -> None:
        save(self, at, logs)
        if at + 1 == epoch:
            act()

    return on_epoch_end


def _pair(rng: np.random.Generator) -> tf.train.Example:
    same = rng.integers(2)
    a = rng.integers(1, WORDS + OOV, rng.integers(0, 5))
    b = a if same else rng.integers(1, WORDS + OOV, rng.integers(1, 5))
    return _example(ids_a=a, ids_b=b, label=[float(same)])


def _vector(rng: np.random.Generator) -> tf.train.Example:
    kind = rng.integers(2)
    vector = rng.uniform(0, 0.6, WIDTH) + 0.4 * kind
    return _example(vector=vector, label=[int(kind)])


def _example(**values: Any) -> tf.train.Example:
    features = {}
    for name, value in values.items():
        array = np.asarray(value)
        if array.dtype.kind == "f":
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=array))
        else:
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=array))
    return tf.train.Example(features=tf.train.Features(feature=features))
