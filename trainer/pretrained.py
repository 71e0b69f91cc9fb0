"""Towers with weights that others trained: a BERT of KerasHub and its WordPiece, from a local folder.

The folder is a preset of KerasHub, or of Hugging Face with `model.safetensors`; nothing is downloaded and no
pickle is read. KerasHub and tensorflow-text come with the extra `pretrained` and are imported only here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from trainer.config import PairModel
from trainer.encoders import PADDING, mean_over_tokens
from trainer.errors import ConfigError
from trainer.features import IDS_A, IDS_B, LABEL, TEXT_A, TEXT_B
from trainer.fitting import PROGRESS

TRUNK = "trunk"
_NEEDED = ("keras_hub", "tensorflow_text", "safetensors")
# What a folder's weights may be in; a pickle is not among them.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model.weights.h5", "model.weights.json")
_VOCABULARIES = ("vocab.txt", "assets/tokenizer/vocabulary.txt", "tokenizer/assets/vocabulary.txt")
# Texts embedded at once.
_ROWS = 64
_TOLD = 5_000


def check_folder(folder: Path | None, key: str = "weights") -> None:
    """Refuses, before anything starts, a folder that no tower can be made of; `key` of [model] names it.

    Raises:
      ConfigError: the extra is not installed, or what the folder lacks.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"[model] {key} = '{folder}' needs {', '.join(missing)}: pip install 'kembar[pretrained]'"
        )
    place = f"[model] {key} = '{folder}'"
    if folder is None or not folder.is_dir():
        raise ConfigError(f"{place}: no such folder: name one with config.json and model.safetensors")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{place}: no config.json: it is a preset of neither KerasHub nor Hugging Face")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise ConfigError(f"{place}: no model.safetensors: other formats, pickles above all, are not read")


class WordPiece(tf.Module):
    """Texts to ids as the pretrained model had them, in the graph: [CLS], the pieces, [SEP].

    Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """`max_tokens` counts [CLS] and [SEP]; what is longer loses its end."""
        super().__init__()
        import keras_hub

        self._tokenizer = keras_hub.models.BertTokenizer.from_preset(str(folder))
        self._kept = max(0, max_tokens - 2)
        if self._tokenizer.pad_token_id != PADDING:
            raise ConfigError(
                f"[model] weights = '{folder}': its padding has id {self._tokenizer.pad_token_id}, not 0"
            )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """String [batch] to int64 [batch, (tokens)], ragged; an empty text is [CLS] [SEP]."""
        # KerasHub's tokenizer refuses bytes that are no UTF-8.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        pieces = tf.cast(self._tokenizer(texts), tf.int64)[:, : self._kept]
        ends = [
            tf.fill([pieces.nrows(), 1], tf.constant(end, tf.int64))
            for end in (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id)
        ]
        return tf.concat([ends[0], pieces, ends[1]], axis=1)

    def pool(self, pool: dict[str, tf.Tensor]) -> dict[str, Any]:
        """Raw rows, as `Data.pools` gives them, to ids."""
        texts = {ids: tf.reshape(pool[text], [-1]) for ids, text in ((IDS_A, TEXT_A), (IDS_B, TEXT_B))}
        return {LABEL: pool[LABEL], **{ids: self(text) for ids, text in texts.items()}}


def build_tower(model: PairModel, load: bool = True) -> keras.Model:
    """From ids, int64 [batch, length], to embeddings, float [batch, dim]: the mean of BERT's last states.

    Reimers and Gurevych 2019, "Sentence-BERT", section 3. A frozen tower ends in a projection that begins as
    the identity and is trained, because the tower itself is not.

    Args:
        model: where the weights are, and whether they stay as they are.
        load: the weights too; without them the tower waits for `set_weights`.
    """
    ids = keras.Input((None,), dtype="int64", name="ids")
    trunk = _trunk(folder_of(model), load, model.trunk_dropout)
    trunk.trainable = not model.frozen
    vectors = trunk(ids)
    if model.frozen:
        vectors = build_top(model, trunk.output_shape[-1])(vectors)
    return keras.Model(ids, vectors, name="tower")


def build_top(model: PairModel, dim: int) -> keras.Model:
    """The projection behind a frozen trunk, [batch, dim] to [batch, dim]."""
    vector = keras.Input((dim,), name="vector")
    dropped = keras.layers.Dropout(model.dropout, name="vector_dropout")(vector)
    projection = keras.layers.Dense(dim, use_bias=False, kernel_initializer="identity", name="projection")
    return keras.Model(vector, projection(dropped), name="top")


def embed(trunk: keras.Model, ids: Iterable[tf.RaggedTensor]) -> list[np.ndarray]:
    """What a frozen trunk makes of texts, each different text once.

    Args:
      trunk: From ids to vectors.
      ids: Any number of ragged tensors, int64 [texts, (tokens)].

    Returns:
      For each of them float32 [texts, dim].
    """
    rows = [[tuple(text) for text in ragged.to_list()] for ragged in ids]
    distinct = sorted({text for texts in rows for text in texts}, key=lambda text: (len(text), text))
    forward = tf.function(lambda batch: trunk(batch, training=False), reduce_retracing=True)
    parts = []
    for start in range(0, len(distinct), _ROWS):
        batch = tf.ragged.constant(distinct[start : start + _ROWS], dtype=tf.int64).to_tensor()
        parts.append(forward(batch).numpy())
        if (start + _ROWS) // _TOLD > start // _TOLD:
            PROGRESS.info("embedded %d of %d texts", min(start + _ROWS, len(distinct)), len(distinct))
    table = np.concatenate(parts) if parts else np.zeros((0, trunk.output_shape[-1]), np.float32)
    place = {text: at for at, text in enumerate(distinct)}
    return [table[[place[text] for text in texts]] for texts in rows]


def load_table(folder: Path) -> tuple[list[str], np.ndarray]:
    """The pieces of a pretrained vocabulary, and the table that BERT looks them up in, float32 [pieces, dim].

    Raises:
      ConfigError: as `check_folder`.
    """
    check_folder(folder, "token_vectors")
    import keras_hub

    backbone = keras_hub.models.BertBackbone.from_preset(str(folder))
    pieces = keras_hub.models.BertTokenizer.from_preset(str(folder)).get_vocabulary()
    return pieces, np.asarray(backbone.get_layer("token_embedding").get_weights()[0])


def folder_of(model: PairModel) -> Path:
    """The folder of weights, which `PairModel` asks for where the encoder is `pretrained`."""
    if model.weights is None:
        raise ValueError("encoder = 'pretrained' needs [model] weights")
    return model.weights


def _trunk(folder: Path, load: bool, dropout: float | None) -> keras.Model:
    import keras_hub

    changes = {} if dropout is None else {"dropout": dropout}
    backbone = keras_hub.models.BertBackbone.from_preset(str(folder), load_weights=load, **changes)
    # Without what BERT makes of its first token alone.
    bert = keras.Model(backbone.input, backbone.output["sequence_output"], name="bert")
    ids = keras.Input((None,), dtype="int64", name="ids")
    tokens = ops.cast(ids, "int32")
    states = bert(
        {
            "token_ids": tokens,
            "segment_ids": ops.zeros_like(tokens),
            "padding_mask": ops.cast(ops.not_equal(tokens, PADDING), "int32"),
        }
    )
    return keras.Model(ids, mean_over_tokens(ids, states), name=TRUNK)
