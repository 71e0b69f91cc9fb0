"""Towers with weights that others trained: a BERT of KerasHub and its WordPiece, from a local folder.

The folder is a preset of KerasHub, or of Hugging Face with `model.safetensors`; nothing is downloaded and no
pickle is read. KerasHub and tensorflow-text come with the extra `pretrained` and are imported only here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from trainer.errors import ConfigError
from trainer.features import IDS_A, IDS_B, LABEL, TEXT_A, TEXT_B
from trainer.pair.encoders import PADDING, mean_over_tokens
from trainer.pair.heads import EXACT, unit
from trainer.pair.pair_config import PairModel
from trainer.pair.weight_folders import check_folder, folder_of, named_layers
from trainer.progress import PROGRESS

TRUNK = "trunk"
_VOCABULARIES = ("vocab.txt", "assets/tokenizer/vocabulary.txt", "tokenizer/assets/vocabulary.txt")
# Texts embedded at once.
_ROWS = 64
# Texts between two lines of progress.
_REPORT_EVERY = 5_000


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

    Reimers and Gurevych 2019, "Sentence-BERT", section 3. Where several `layers` are named, the means of each
    one's states stand side by side (Devlin et al. 2019, "BERT", section 5.3), with a length of 1 each, so
    that the cosine of two texts is the mean of the layers' cosines. A frozen tower ends in a projection that
    begins as the identity and is trained, because the tower itself is not.

    Args:
        model: the folder of the weights, the layers that are read, and whether the weights stay as they are.
        load: the weights too; without them the tower waits for `set_weights`.
    """
    ids = keras.Input((None,), dtype="int64", name="ids")
    trunk = _trunk(model, load)
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
    """Embed texts with a frozen trunk, each different text once.

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
        if (start + _ROWS) // _REPORT_EVERY > start // _REPORT_EVERY:
            PROGRESS.info("embedded %d of %d texts", min(start + _ROWS, len(distinct)), len(distinct))
    table = np.concatenate(parts) if parts else np.zeros((0, trunk.output_shape[-1]), np.float32)
    row_of = {text: at for at, text in enumerate(distinct)}
    return [table[[row_of[text] for text in texts]] for texts in rows]


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


def _trunk(model: PairModel, load: bool) -> keras.Model:
    import keras_hub

    changes = {} if model.trunk_dropout is None else {"dropout": model.trunk_dropout}
    folder = str(folder_of(model))
    backbone = keras_hub.models.BertBackbone.from_preset(folder, load_weights=load, **changes)
    # Without layers that nobody asks for, and what BERT makes of its first token alone.
    states = [
        backbone.get_layer(f"transformer_layer_{layer - 1}").output
        for layer in named_layers(model, backbone.num_layers)
    ]
    bert = keras.Model(backbone.input, states, name="bert")
    ids = keras.Input((None,), dtype="int64", name="ids")
    tokens = ops.cast(ids, "int32")
    hidden_states = bert(
        {
            "token_ids": tokens,
            "segment_ids": ops.zeros_like(tokens),
            "padding_mask": ops.cast(ops.not_equal(tokens, PADDING), "int32"),
        }
    )
    means = [mean_over_tokens(ids, state) for state in hidden_states]
    if len(means) > 1:
        means = [unit(ops.cast(mean, EXACT)) for mean in means]
    return keras.Model(ids, ops.concatenate(means, axis=-1), name=TRUNK)
