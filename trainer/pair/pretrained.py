"""Towers with weights that others trained: a BERT of KerasHub, from a local folder.

The folder is a preset of KerasHub, or of Hugging Face with `model.safetensors`; nothing is downloaded and no
pickle is read. KerasHub and tensorflow-text come with the extra `pretrained` and are imported only here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from trainer.pair.encoders import mean_over_tokens
from trainer.pair.heads import EXACT, unit
from trainer.pair.pair_config import PairModel
from trainer.pair.weight_folders import check_folder, named_layers
from trainer.progress import PROGRESS
from trainer.text.vocabulary import PADDING

TRUNK = "trunk"
# Texts embedded at once.
_ROWS = 64
# Texts between two lines of progress.
_REPORT_EVERY = 5_000


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
    backbone = keras_hub.models.BertBackbone.from_preset(str(model.weights), load_weights=load, **changes)
    # Without layers that nobody asks for, and what BERT makes of its first token alone.
    states = [
        backbone.get_layer(f"transformer_layer_{layer - 1}").output
        for layer in named_layers(model, backbone.num_layers)
    ]
    bert = keras.Model(backbone.input, states, name="bert")
    ids = keras.Input((None,), dtype="int64", name="ids")
    tokens = ops.cast(ids, "int32")
    mask = ops.cast(ops.not_equal(tokens, PADDING), "int32")
    inputs = {"token_ids": tokens, "segment_ids": ops.zeros_like(tokens), "padding_mask": mask}
    means = [mean_over_tokens(ids, state) for state in bert(inputs)]
    if len(means) > 1:
        means = [unit(ops.cast(mean, EXACT)) for mean in means]
    return keras.Model(ids, ops.concatenate(means, axis=-1), name=TRUNK)
