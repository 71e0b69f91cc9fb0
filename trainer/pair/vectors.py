"""Vectors of tokens that others learned, as the start of an embedding: a text file, or the table of a BERT.

A file is in the text format of word2vec (Mikolov et al. 2013), whose first line counts words and numbers, or
in that of GloVe (Pennington et al. 2014), which has no such line: a token and its numbers, one space between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainer.errors import ConfigError
from trainer.pair.pair_config import PairModel
from trainer.pair.weight_folders import check_folder
from trainer.progress import PROGRESS


def check_vectors(model: PairModel) -> None:
    """Refuses, before anything starts, a path that no vectors can be read from.

    Raises:
      ConfigError: there is nothing, its first line holds no vector, or one of another size.
    """
    path = model.token_vectors
    if path is None:
        return
    if path.is_dir():
        check_folder(path, "token_vectors")
    elif not path.is_file():
        raise ConfigError(f"[model] token_vectors = '{path}': no such file or folder: correct the path")
    else:
        _check_size(path, len(next(_lines(path))[2]), model.embedding_dim)


def start_vectors(model: PairModel, vocabulary: Sequence[bytes], table: np.ndarray, first: int) -> np.ndarray:
    """The embedding that training starts from: known tokens get their vectors, all others keep their rows.

    The vectors are moved to a mean of 0, because what all of them share tells no two tokens apart (Mu and
    Viswanath 2018, "All-but-the-Top", section 2.1), and scaled as a whole to the mean length of the rows that
    they replace, so that a learning rate means what it means without them.

    Args:
      model: names the file or the folder, and the size that its vectors must have.
      vocabulary: tokens in the order of their ids.
      table: float32 [rows, dim], as the encoder was made.
      first: id of the first token.

    Returns:
      float32 [rows, dim].

    Raises:
      ConfigError: naming file, line and fix.
    """
    path = model.token_vectors
    if path is None:
        return table
    wanted = {token: first + at for at, token in enumerate(vocabulary)}
    by_id = _of_folder(path, wanted) if path.is_dir() else _of_file(path, wanted)
    if len(by_id) == 0:
        PROGRESS.info("token vectors %s: none of %d tokens is among them", path, len(wanted))
        return table
    _check_size(path, len(next(iter(by_id.values()))), table.shape[1])
    rows, vectors = np.fromiter(by_id, np.int64), np.stack([*by_id.values()])
    vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1).mean(), np.linalg.norm(table[rows], axis=1).mean()
    table = table.copy()
    table[rows] = vectors * (lengths[1] / max(lengths[0], np.finfo(np.float32).tiny))
    share = 100 * len(rows) / len(wanted)
    PROGRESS.info("token vectors %s: %d of %d tokens (%.0f %%)", path, len(rows), len(wanted), share)
    return table


def _of_file(path: Path, wanted: dict[bytes, int]) -> dict[int, np.ndarray]:
    """Id to vector; of a token that comes twice the first."""
    by_id: dict[int, np.ndarray] = {}
    for number, token, rest in _lines(path):
        at = wanted.get(token)
        if at is None or at in by_id:
            continue
        where, shown = _location(path, number), repr(token.decode("utf-8", "replace"))
        try:
            vector = np.array(rest, np.float32)
        except ValueError:
            raise ConfigError(f"{where}: what follows {shown} is no numbers") from None
        if not np.isfinite(vector).all():
            raise ConfigError(f"{where}: a number of {shown} is not finite")
        by_id[at] = vector
    return by_id


def _lines(path: Path) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Number, token and written numbers of each line; a token may hold spaces, as some of GloVe's do."""
    dim = promised = seen = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip().split(b" ")
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                promised, dim = map(int, fields)
                continue
            dim = dim or len(fields) - 1
            if len(fields) < dim + 1 or dim < 1:
                raise ConfigError(
                    f"{_location(path, number)}: a token and {max(dim, 1)} numbers expected, found "
                    f"{len(fields)} fields: mend or remove the line"
                )
            seen += 1
            yield number, b" ".join(fields[:-dim]), fields[-dim:]
    if seen < max(promised, 1):
        raise ConfigError(
            f"{path}: ends after {seen} vectors"
            + (f", its first line promises {promised}: it was cut off" if promised else ": it is empty")
        )


def _of_folder(path: Path, wanted: dict[bytes, int]) -> dict[int, np.ndarray]:
    """Id to vector, of the tokens that are one piece of the pretrained vocabulary."""
    # Which imports TensorFlow.
    from trainer.pair.pretrained import load_table

    pieces, table = load_table(path)
    vectors = zip((piece.encode() for piece in pieces), table, strict=False)
    return {wanted[token]: vector for token, vector in vectors if token in wanted}


def _check_size(path: Path, dim: int, wanted: int) -> None:
    if dim != wanted:
        raise ConfigError(
            f"[model] token_vectors = '{path}': its vectors have {dim} numbers, [model] embedding_dim is "
            f"{wanted}: set it to {dim}"
        )


def _location(path: Path, number: int) -> str:
    return f"[model] token_vectors: {path}, line {number}"
