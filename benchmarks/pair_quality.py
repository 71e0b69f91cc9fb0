"""How well pairs are scored: a preset trained with several seeds, outside of the pipeline, by the same code.

Prints the metrics on eval, which every choice was made on, and on test, with seconds of training and epochs;
then the mean and the spread over the seeds. Baselines need no seed.

    python benchmarks/pair_quality.py configs/sts.toml [--seeds 1 2 3] [--set training.epochs=3] [--baselines]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from components.example_gen.reader import open_table
from pipeline.config import configuration
from pipeline.config.configuration import Config
from trainer.features import IDS_A, IDS_B, LABEL, PRIMARY, TEXT_A, TEXT_B, Label
from trainer.fitting.training import TransformedData
from trainer.fitting.warm_start import Base, leave
from trainer.metrics import pair_metrics
from trainer.pair import fit as pair_fit
from trainer.pair.baselines import METHODS
from trainer.pair.pair_config import PairModel
from trainer.spec import narrow
from trainer.text.pieces import WordPiece
from trainer.text.tokens import text_features
from trainer.text.vocabulary import FIRST_ID, VOCABULARY

SPLITS = ("train", "eval", "test")


def load(config: Config, split: str) -> dict[str, np.ndarray]:
    """The columns `text_a`, `text_b` (str) and `label` (float, in its own range) of one file."""
    data, label = config.data, label_of(config)
    kept = []
    for path in data.files()[split] or sys.exit(
        f"{split}: no file: the head of the configuration says where"
    ):
        with open_table(path, data) as table:
            names = table.names or []
            at = [names.index(str(name)) for name in (data.text_a, data.text_b, label.column)]
            kept += [
                [record.fields[column].strip() for column in at] for record in table.records if record.fields
            ]
    classes = label.classes
    values = [classes.index(row[2]) if classes else float(row[2]) for row in kept]
    texts = {name: np.array([row[n] for row in kept], object) for n, name in enumerate((TEXT_A, TEXT_B))}
    return {**texts, LABEL: np.array(values, np.float32)}


@dataclass(frozen=True)
class Rows(TransformedData):
    """Splits in memory, in place of transformed examples in files."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pools(self, split: str, rows: int) -> tf.data.Dataset:
        """As `Data.pools` gives them: ids are sparse."""
        pools = tf.data.Dataset.from_tensor_slices(self.columns[split]).batch(rows)
        return pools.map(lambda pool: {name: _sparse(values) for name, values in pool.items()})


class Vocabulary:
    """Stands for TFTransformOutput, as far as training looks at it."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens

    def vocabulary_size_by_name(self, name: str) -> int:
        """How many strings have a row of their own."""
        return len(self.vocabulary_by_name(name))

    def vocabulary_file_by_name(self, name: str) -> str:
        """That there are such strings."""
        return name

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        """The strings, in the order of their ids."""
        return {"tokens": self.tokens}[name]


def prepared(
    config: Config,
    splits: dict[str, dict[str, np.ndarray]],
    folder: str,
    saved: str | None,
    base: Base | None = None,
) -> Rows:
    """What the pipeline's Transform makes of the splits; the test split comes along."""
    label, model = label_of(config), narrow(config.model, PairModel)
    low, high = (0.0, 1.0) if label.classes else label.bounds
    columns: dict[str, dict[str, Any]] = {
        split: {LABEL: (table[LABEL] - low) / (high - low)} for split, table in splits.items()
    }
    if model.encoder == "pretrained":
        for split, table in splits.items():
            columns[split] |= {name: tf.constant(table[name].tolist()) for name in (TEXT_A, TEXT_B)}
        return Rows({}, Vocabulary([]), folder, saved, base=base, columns=columns)  # type: ignore[arg-type]
    strings = {
        (split, ids): text_features(tf.constant(splits[split][text].tolist()), model.max_tokens, model.ngrams)
        for split in splits
        for ids, text in ((IDS_A, TEXT_A), (IDS_B, TEXT_B))
    }
    known = vocabulary(
        tf.concat([strings["train", ids] for ids in (IDS_A, IDS_B)], 0), model, base.tokens if base else ()
    )
    numbers = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(known, np.arange(len(known), dtype=np.int64)), model.oov_buckets
    )
    for (split, ids), tokens in strings.items():
        columns[split][ids] = numbers.lookup(tokens) + FIRST_ID
    return Rows({}, Vocabulary(known), folder, saved, base=base, columns=columns)  # type: ignore[arg-type]


def vocabulary(tokens: tf.RaggedTensor, model: PairModel, first: tuple[bytes, ...] = ()) -> list[bytes]:
    """`first`, and the most frequent strings, as TF Transform orders them: by frequency, then backwards."""
    counts = Counter(tokens.flat_values.numpy().tolist())
    for word in first:
        counts.pop(word, None)
    ranked = sorted(((n, word) for word, n in counts.items() if n >= model.min_frequency), reverse=True)
    return [*first, *(word for _, word in ranked)][: max(model.vocabulary_size, len(first))]


def train(
    config: Config,
    splits: dict[str, dict[str, np.ndarray]],
    saved: str | None = None,
    base: Base | None = None,
    left: str | None = None,
) -> dict[str, float]:
    """One training, measured on eval and test with the weights of the best epoch on eval.

    From the model `base`, if given; `left` is a folder for the next training.
    """
    label, model = label_of(config), narrow(config.model, PairModel)
    with TemporaryDirectory() as folder:
        rows = prepared(config, splits, folder, saved, base)
        started = time.perf_counter()
        trained, log, _ = pair_fit.fit(rows, config.spec)
        seconds = time.perf_counter() - started
        if left is not None:
            leave(left, trained, config.spec, rows.transform.vocabulary_by_name(VOCABULARY))
        result: dict[str, float] = {}
        forward = tf.function(lambda ids: trained(ids, training=False), reduce_retracing=True)
        for split in ("eval", "test"):
            pools = rows.pools(split, 64)
            if model.encoder == "pretrained":
                piece = WordPiece(narrow(model.weights, Path), model.max_tokens)
                pools = pools.map(piece.pool)
            scores = np.concatenate([forward(_padded(pool)).numpy() for pool in pools])
            low, high = (0.0, 1.0) if label.classes else label.bounds
            measured = pair_metrics(splits[split][LABEL], low + (high - low) * scores, label)
            result |= {f"{split} {name}": value for name, value in measured.items()}
    curve = log.history[f"eval_{PRIMARY[label.kind]}"]
    return {
        **result,
        "seconds": seconds,
        "epochs": len(curve),
        "best epoch": log.details.get("best_epoch", 1 + int(np.argmax(curve))),
        **({"eval start": log.details["start"]} if base is not None else {}),
        "parameters": log.parameters,
    }


def label_of(config: Config) -> Label:
    """The label, which every pair model has."""
    return narrow(config.data.label, Label)


def _padded(pool: dict[str, Any]) -> dict[str, tf.Tensor]:
    dense = {}
    for name in (IDS_A, IDS_B):
        ids = pool[name]
        dense[name] = ids.to_tensor() if isinstance(ids, tf.RaggedTensor) else tf.sparse.to_dense(ids)
    return dense


def _sparse(values: Any) -> Any:
    return values.to_sparse() if isinstance(values, tf.RaggedTensor) else values


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--baselines", action="store_true", help="the simple methods too")
    parser.add_argument("--checkpoints", help="where a training that was killed goes on")
    options = parser.parse_args(arguments)
    for path in options.configs:
        config = configuration.load(path, options.settings)
        splits = {split: load(config, split) for split in SPLITS}
        if options.baselines:
            for name, method in METHODS[label_of(config).kind].items():
                predict = method(splits["train"], label_of(config))
                report(
                    f"{path.stem}, {name}",
                    {
                        f"{split} {metric}": value
                        for split in ("eval", "test")
                        for metric, value in pair_metrics(
                            splits[split][LABEL], predict(splits[split]), label_of(config)
                        ).items()
                    },
                )
        results = []
        for seed in options.seeds:
            seeded = configuration.load(path, [*options.settings, f"training.seed={seed}"])
            saved = f"{options.checkpoints}/{path.stem}-{seed}" if options.checkpoints else None
            results.append(train(seeded, splits, saved))
            report(f"{path.stem}, seed {seed}", results[-1])
        if len(results) > 1:
            columns = {name: np.array([result[name] for result in results]) for name in results[0]}
            report(f"{path.stem}, mean", {name: float(column.mean()) for name, column in columns.items()})
            report(f"{path.stem}, spread", {name: float(np.ptp(column)) for name, column in columns.items()})


def report(name: str, result: dict[str, float]) -> None:
    """One line of the table."""
    cells = (
        f"{key} {value:.4f}" if key.startswith(("eval", "test")) else f"{key} {value:.0f}"
        for key, value in result.items()
    )
    print(f"{name:24s} " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
