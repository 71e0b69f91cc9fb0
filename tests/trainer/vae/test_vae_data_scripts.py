from __future__ import annotations

import gzip
import hashlib
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
PIXELS = np.arange(8 * 784, dtype=np.uint32).reshape(8, 784) % 256
LABELS = np.arange(8)


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import digits_to_parquet
    import mnist_to_parquet

    return mnist_to_parquet, digits_to_parquet


def packed(content: object) -> bytes:
    return gzip.compress(pickle.dumps(content, protocol=3))


def small_mnist() -> bytes:
    values = (PIXELS / np.float32(256)).astype(np.float32)
    data = packed(((values, LABELS), (values[:2], LABELS[:2]), (values[:3], LABELS[:3])))
    # NumPy 2 writes its own new name; the package's pickle has the old one.
    raw = gzip.decompress(data).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    return gzip.compress(raw)


@pytest.mark.parametrize("as_wheel", [False, True])
def test_grey_levels_come_back_exactly(scripts, tmp_path, as_wheel):
    mnist, _ = scripts
    content, path = small_mnist(), tmp_path / "source"
    if as_wheel:
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(mnist.MEMBER, content)
    else:
        path.write_bytes(content)
    splits = mnist.read_mnist(path, hashlib.sha256(content).hexdigest())
    pixels, labels = splits["train"]
    assert (pixels == PIXELS).all()
    assert (labels == LABELS).all()
    assert [len(splits[name][0]) for name in ("train", "eval", "test")] == [8, 2, 3]


def test_another_file_is_refused(scripts, tmp_path, capsys):
    mnist, _ = scripts
    path = tmp_path / "source"
    path.write_bytes(small_mnist())
    assert mnist.main([str(path), str(tmp_path / "out")]) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Program:
    def __reduce__(self):
        return sys.exit, (7,)


def test_a_pickle_that_is_a_program_is_not_run(scripts, tmp_path):
    mnist, _ = scripts
    content = packed(Program())
    (tmp_path / "source").write_bytes(content)
    with pytest.raises(pickle.UnpicklingError, match=r"sys\.exit"):
        mnist.read_mnist(tmp_path / "source", hashlib.sha256(content).hexdigest())


def test_a_held_out_digit_is_in_the_test_split_only(scripts):
    _, digits = scripts
    splits = digits.split_digits(held_out=7)
    assert not (splits["train"][1] == 7).any()
    assert not (splits["eval"][1] == 7).any()
    assert (splits["test"][1] == 7).sum() == 179
    assert sum(len(labels) for _, labels in splits.values()) == 1_797


def test_digits_are_written_as_lists(scripts, tmp_path):
    _, digits = scripts
    assert digits.main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "eval.parquet",
        "test.parquet",
        "train.parquet",
    ]
    table = pq.read_table(tmp_path / "eval.parquet")
    assert table.num_rows == 180
    assert np.stack(list(table["pixels"].to_numpy())).shape == (180, 64)
    assert set(table["label"].to_pylist()) == set(range(10))
