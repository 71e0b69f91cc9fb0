"""Writes scikit-learn's 1,797 handwritten digits (8 x 8) as train, eval and test Parquet files.

    python scripts/digits_to_parquet.py DIR [--hold-out 7]

Each file has `pixels`, a list of 64 grey levels from 0 to 16, and `label`, the digit. A digit held out is
in the test file only, all of its rows: what an anomaly score must find. Rows are divided by a fixed random
order, eight parts to one and one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from mnist_to_parquet import write_split
from sklearn.datasets import load_digits

SEED = 1


def split_digits(held_out: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Grey levels [rows, 64] and labels [rows], both uint8, by split."""
    digits = load_digits()
    pixels, labels = digits.data.astype(np.uint8), digits.target.astype(np.uint8)
    order = np.random.default_rng(SEED).permutation(len(labels))
    first, second = len(order) * 8 // 10, len(order) * 9 // 10
    parts = dict(zip(("train", "eval", "test"), np.split(order, [first, second]), strict=True))
    if held_out is not None:
        for name in ("train", "eval"):
            parts[name] = parts[name][labels[parts[name]] != held_out]
        known = parts["test"][labels[parts["test"]] != held_out]
        parts["test"] = np.concatenate([known, np.flatnonzero(labels == held_out)])
    return {name: (pixels[rows], labels[rows]) for name, rows in parts.items()}


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when all files are written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where train.parquet, eval.parquet and test.parquet go")
    parser.add_argument(
        "--hold-out", type=int, choices=range(10), help="a digit to leave out of train and eval"
    )
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, labels) in split_digits(options.hold_out).items():
        write_split(options.folder / f"{name}.parquet", pixels, labels, pa.uint8())
        print(f"{options.folder / name}.parquet: {len(pixels):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
