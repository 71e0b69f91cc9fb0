"""Devices, precision and kernels, on a machine without a GPU or with ones that are made up."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_trainings import data_of, spec_of, train
from trainer.dense.builders import build
from trainer.errors import ConfigError, KembarError
from trainer.fitting import devices
from trainer.pair.encoders import build_tower
from trainer.pair.heads import HEADS, build_pair
from trainer.pair.kernels import lstm_kernel
from trainer.pair.pair_config import PairModel
from trainer.vae.builder import VariationalAutoencoder


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that GPUs of such compute capabilities are visible."""

    def pretend(*capabilities):
        found = [
            tf.config.PhysicalDevice(f"/physical_device:GPU:{at}", "GPU") for at in range(len(capabilities))
        ]
        details = {
            gpu: {"device_name": f"Model {major}{minor}", "compute_capability": (major, minor)}
            for gpu, (major, minor) in zip(found, capabilities, strict=True)
        }
        monkeypatch.setattr(
            tf.config, "get_visible_devices", lambda kind=None: found if kind == "GPU" else []
        )
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
        grown = []
        monkeypatch.setattr(
            tf.config.experimental, "set_memory_growth", lambda gpu, grow: grown.append((gpu.name, grow))
        )
        return grown

    return pretend


def test_gpus_that_are_there_are_enough(gpus):
    grown = gpus((9, 0), (9, 0))
    devices.require_gpus(2)
    assert grown == [("/physical_device:GPU:0", True), ("/physical_device:GPU:1", True)]


@pytest.mark.parametrize(
    ("cuda", "hidden", "words"),
    [
        (False, None, ["without CUDA", "CUDA_VISIBLE_DEVICES not set", "install tensorflow[and-cuda]"]),
        (True, None, ["with CUDA", "CUDA_VISIBLE_DEVICES not set", "run on a node that has them"]),
        (True, "-1", ["with CUDA", "CUDA_VISIBLE_DEVICES '-1'", "unset CUDA_VISIBLE_DEVICES"]),
    ],
)
def test_gpus_that_are_missing_are_one_line(gpus, monkeypatch, cuda, hidden, words):
    gpus((9, 0))
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with pytest.raises(KembarError) as caught:
        devices.require_gpus(2)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("2 GPUs asked for, 1 visible")
    assert [word for word in words if word not in line] == []


def test_no_gpu_asked_for_none_needed(gpus):
    gpus()
    devices.require_gpus(0)
    with pytest.raises(KembarError, match="1 GPU asked for, 0 visible"):
        devices.require_gpus(1)


def test_memory_growth_that_comes_too_late_is_told(gpus, monkeypatch, caplog):
    gpus((9, 0))

    def late(*_):
        raise RuntimeError("already initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", late)
    monkeypatch.setattr(tf.config.experimental, "get_memory_growth", lambda gpu: False)
    assert devices.grow_memory() == 1
    assert "takes all its memory at once: already initialized" in caplog.text


def test_one_gpu_needs_no_strategy_and_two_share(gpus, monkeypatch):
    monkeypatch.setattr(devices, "_mirrored", lambda: "mirrored")
    gpus((9, 0))
    assert devices.strategy() is tf.distribute.get_strategy()
    gpus((9, 0), (9, 0))
    assert devices.strategy() == "mirrored"


def test_half_precision_is_bfloat16_or_refused(gpus):
    gpus((8, 0), (9, 0))
    assert devices.policy(True) == "mixed_bfloat16"
    gpus((9, 0), (7, 5))
    assert devices.policy(False) == "float32"
    with pytest.raises(ConfigError, match=r"mixed_precision = true .* Model 75 does not: set it to false"):
        devices.policy(True)


def test_the_precision_is_set_back_whatever_happens():
    def stop_inside():
        with devices.precision(True):
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            raise SystemExit

    with pytest.raises(SystemExit):
        stop_inside()
    assert keras.config.dtype_policy().name == "float32"


def test_the_log_names_the_gpus(gpus):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert devices.describe(model) == {"devices": ["CPU"], "replicas": 1, "precision": "float32"}
    gpus((9, 0), (8, 0))
    assert devices.describe(model)["devices"] == ["GPU:0 Model 90", "GPU:1 Model 80"]


@pytest.mark.parametrize("kind", ["pair", "dense", pytest.param("vae", marks=pytest.mark.slow)])
def test_half_precision_learns_and_is_served_in_float32(kind, tmp_path):
    model, log = train(kind, data_of(kind, tmp_path), mixed_precision=True, epochs=3, learning_rate=0.01)
    assert log.details["precision"] == "mixed_bfloat16"
    assert np.isfinite(log.history["loss"]).all()
    assert min(log.history["loss"][1:]) < log.history["loss"][0]
    layers = list(model._flatten_layers())  # type: ignore[attr-defined]
    assert {layer.dtype_policy.name for layer in layers} == {"float32"}
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_losses_see_float32():
    with devices.precision(True):
        pairs = [PairModel(head=head, embedding_dim=4) for head in HEADS]
        models = [build_pair(pair, build_tower(pair, 9)) for pair in pairs]
        models += [build(spec_of("dense").model, 4, 2, 1), VariationalAutoencoder(spec_of("vae").model, 4)]
    for model in models:
        assert {output.dtype for output in keras.tree.flatten(model.outputs)} == {"float32"}
        assert {layer.compute_dtype for layer in model._flatten_layers()} == {"bfloat16", "float32"}  # type: ignore[attr-defined]


def test_the_log_says_which_kernel_an_lstm_runs_on(monkeypatch, tmp_path):
    assert lstm_kernel(keras.layers.LSTM(2)) == "loop, not cuDNN: no GPU"
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    assert lstm_kernel(keras.layers.LSTM(2)) == "cuDNN"
    assert lstm_kernel(keras.layers.LSTM(2, dropout=0.5)) == "cuDNN"
    other = keras.layers.LSTM(
        2, activation="relu", recurrent_activation="hard_sigmoid", recurrent_dropout=0.1, use_bias=False,
        use_cudnn=False, unroll=True,
    )  # fmt: skip
    assert lstm_kernel(other) == (
        "loop, not cuDNN: use_cudnn is False, recurrent_dropout, activation 'relu', not 'tanh', "
        "recurrent_activation 'hard_sigmoid', not 'sigmoid', unroll, no bias"
    )


def test_the_lstm_is_served_without_cudnn(tmp_path):
    model, log = train("lstm", data_of("lstm", tmp_path), epochs=1, mixed_precision=True)
    assert log.details["lstm"] == "loop, not cuDNN: no GPU"
    assert model.get_layer("tower").get_layer("lstm").use_cudnn is False  # type: ignore[attr-defined]
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}  # type: ignore[attr-defined]


def test_the_lstm_never_sees_a_text_without_a_place():
    # What cuDNN refuses: a row of the mask without any True, or with True after False.
    tower = build_tower(PairModel(encoder="lstm", embedding_dim=4, units=3), 9)
    lstm = tower.get_layer("lstm")
    mask = keras.Model(tower.inputs[0], lstm._inbound_nodes[0].arguments.kwargs["mask"])  # type: ignore[attr-defined]
    found = mask(np.array([[3, 1, 2], [5, 0, 0], [0, 0, 0]])).numpy()
    assert found.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
