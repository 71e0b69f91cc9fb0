"""What a warm start saves and costs: STS Benchmark's training pairs, the older half first, then all.

Three trainings a seed: on the half that is older, by the year of the task that a pair was collected for; on
all pairs, from scratch; and on all pairs, from the model of the older half, whose vocabulary is extended.

    python benchmarks/warm_start.py [--seeds 1 2 3] [--set training.epochs=3]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pair_quality import SPLITS, load, report, train

from pipeline.config import configuration
from pipeline.config.configuration import Config
from trainer.fitting.warm_start import find

CONFIG = Path(__file__).parents[1] / "configs" / "sts.toml"


def older_half(config: Config) -> np.ndarray:
    """Rows of the training split, those of the oldest tasks first, up to half of them."""
    [path] = config.data.files()["train"]
    lines = path.read_text(encoding="utf-8").splitlines()
    years = np.array([line.split("\t")[(config.data.columns or ()).index("year")] for line in lines])
    return np.sort(np.argsort(years, kind="stable")[: len(years) // 2])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line a training, then the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    options = parser.parse_args(arguments)
    config = configuration.load(CONFIG, options.settings)
    splits = {split: load(config, split) for split in SPLITS}
    rows = older_half(config)
    half = {**splits, "train": {name: column[rows] for name, column in splits["train"].items()}}
    results: dict[str, list[dict[str, float]]] = {"older half": [], "all, scratch": [], "all, warm": []}
    for seed in options.seeds:
        seeded = configuration.load(CONFIG, [*options.settings, f"training.seed={seed}"])
        with TemporaryDirectory() as left:
            results["older half"].append(train(seeded, half, left=left))
            results["all, scratch"].append(train(seeded, splits))
            results["all, warm"].append(train(seeded, splits, base=find(left, seeded.spec)))
        for name, trainings in results.items():
            report(f"{name}, seed {seed}", trainings[-1])
    for name, trainings in results.items():
        report(
            f"{name}, mean",
            {key: float(np.mean([training[key] for training in trainings])) for key in trainings[0]},
        )


if __name__ == "__main__":
    main()
