"""-log p(x) of a served VAE of binary images, by importance sampling with draws of each row's own.

    python benchmarks/vae_served_nll.py runs/mnist_vae/serving/mnist_vae/VERSION data/mnist/test.parquet

The pipeline shares its draws among all rows, which keeps a batch's result from depending on the batch, but
makes the errors of all rows the same; here they average out. Burda et al. 2016, equation 8.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from trainer.vae.training import binarize

LEVELS, SAMPLES, ROWS = 255.0, 1_000, 16


def main(model: str, data: str) -> None:
    """Prints one line of JSON."""
    loaded = tf.saved_model.load(model)  # owns the variables: kept while its signatures are called
    encode, decode = loaded.signatures["encode"], signatures["decode"]
    pixels = np.array(pq.read_table(data)["pixels"].to_pylist(), np.float32) / LEVELS
    images = binarize(pixels)
    generator = tf.random.Generator.from_seed(1)

    @tf.function
    def log_likelihood(batch: tf.Tensor) -> tf.Tensor:
        code = encode(vector=batch * LEVELS)
        mean, log_variance = code["mean"][:, None], code["log_variance"][:, None]
        noise = generator.normal([tf.shape(batch)[0], SAMPLES, mean.shape[-1]])
        latent = mean + tf.exp(log_variance / 2) * noise
        vector = decode(latent=tf.reshape(latent, [-1, mean.shape[-1]]))["vector"] / LEVELS
        vector = tf.reshape(vector, [-1, SAMPLES, batch.shape[-1]])
        likely = tf.math.log(tf.where(batch[:, None] > 0.5, vector, 1 - vector) + 1e-30)
        # The normal densities' constants cancel.
        weight = tf.reduce_sum(likely, -1) + tf.reduce_sum((noise**2 + log_variance - latent**2) / 2, -1)
        return tf.reduce_logsumexp(weight, -1) - tf.math.log(float(SAMPLES))

    started = time.perf_counter()
    parts = [log_likelihood(tf.constant(images[at : at + ROWS])) for at in range(0, len(images), ROWS)]
    found = -float(np.concatenate(parts).astype(np.float64).mean())
    print(
        json.dumps({"model": model, "nll": round(found, 3), "seconds": round(time.perf_counter() - started)})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
