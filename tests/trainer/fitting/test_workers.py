"""Training that two processes share over the loopback interface, as two machines would."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import ConfigError, KembarError
from trainer.fitting import workers

CHILD = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import tensorflow as tf
from trainer import run_fn
from trainer.fitting import workers
workers.strategy()
from tests.trainer.small_trainings import data_of, spec_of
from trainer.fitting import checkpoint
from trainer.pair import fit as pair_fit
checkpoint.PAUSE = 0.0
folder, own = Path(sys.argv[1]), Path(sys.argv[2])
spec = spec_of("pair", dropout=0.0, learning_rate=0.01, epochs=3)
data = data_of("pair", own, rows=44)  # of its own: two that write one file spoil it
exported = []

class Family:
    def fit(self, given, spec):
        fitted = pair_fit.fit(given, spec)
        self.model, self.log = fitted.model, fitted.log
        return fitted
    def export(self, model, transform, spec, threshold):
        module = tf.Module()
        module.served = lambda: {}
        return module
    def golden_requests(self, spec):
        return {}

family = Family()
run_fn.family_of = lambda spec: family
run_fn.tft.TFTransformOutput = lambda path: data.transform
run_fn.with_inference = lambda signatures: signatures
run_fn.hold_variables = lambda module, model: None
run_fn.write_warmup = lambda *_: None
run_fn.tf.saved_model.save = lambda module, path, signatures: exported.append(path)
(own / "run").mkdir(parents=True)
run_fn.run_fn(SimpleNamespace(
    custom_config={"spec": spec.model_dump_json(), "checkpoints": str(folder / "saved")},
    hyperparameters=None, base_model=None,
    transform_graph_path="", train_files=data.files["train"], eval_files=data.files["eval"],
    serving_model_dir=str(own / "model"), model_run_dir=str(own / "run"),
))
np.savez(own / "weights.npz", *family.model.get_weights())
print(json.dumps({
    "exported": exported,
    "left": sorted(path.name for path in (own / "run").iterdir()),
    "history": family.log.history,
    "replicas": family.log.details["replicas"],
}))
"""


def described(ports: list[int], index: int) -> str:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_together(folder: Path, environments: dict[str, dict[str, str]]) -> dict[str, dict]:
    """What each of several processes said at its end, by name."""
    here = Path(__file__).parent
    # The child finds this checkout and this folder's modules, wherever pytest was started.
    paths = os.pathsep.join([str(here.parent.parent), str(here), os.environ.get("PYTHONPATH", "")])
    own = {key: value for key, value in os.environ.items() if key != workers.VARIABLE}
    with ExitStack() as open_files:
        children = {}
        for name, environment in environments.items():
            out, err = (
                open_files.enter_context((folder / f"{name}.{kind}").open("w")) for kind in ("out", "err")
            )
            children[name] = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(folder), str(folder / name)],
                env={**own, "PYTHONPATH": paths, **environment},
                stdout=out,
                stderr=err,
            )
        try:
            ended = {name: child.wait(timeout=500) for name, child in children.items()}
        finally:
            for child in children.values():
                child.kill()
                child.wait()
    for name, status in ended.items():
        assert status == 0, (folder / f"{name}.err").read_text()[-5_000:]
    return {name: json.loads((folder / f"{name}.out").read_text().splitlines()[-1]) for name in children}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Folder, and what each of two workers, and then a process alone, said of the same training."""
    folder = tmp_path_factory.mktemp("workers")
    ports = free_ports(2)
    said = run_together(folder, {f"worker{at}": {workers.VARIABLE: described(ports, at)} for at in range(2)})
    return folder, said | run_together(folder, {"alone": {}})


def weights(folder: Path, name: str) -> list[np.ndarray]:
    with np.load(folder / name / "weights.npz") as arrays:
        return [arrays[one] for one in arrays.files]


def test_both_workers_end_with_the_same_weights(found):
    folder, said = found
    assert said["worker0"]["replicas"] == said["worker1"]["replicas"] == 2
    assert said["worker0"]["history"] == said["worker1"]["history"]
    for one, other in zip(weights(folder, "worker0"), weights(folder, "worker1"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_workers_learn_what_one_does_from_the_same_batches(found):
    folder, said = found
    assert said["alone"]["replicas"] == 1
    # Sums in another order; Adam's first steps make much of it where a gradient is nearly 0.
    for one, other in zip(weights(folder, "worker0"), weights(folder, "alone"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(
        said["worker0"]["history"]["loss"], said["alone"]["history"]["loss"], rtol=1e-3
    )
    assert said["alone"]["history"]["loss"][-1] < said["alone"]["history"]["loss"][0]


def test_the_chief_alone_exports_and_leaves_a_log(found):
    folder, said = found
    assert said["worker0"]["exported"] == [str(folder / "worker0" / "model")]
    assert "training.json" in said["worker0"]["left"]
    assert said["worker1"]["exported"] == said["worker1"]["left"] == []
    assert not list((folder / "saved").iterdir())  # removed at the end


def test_who_is_the_chief(monkeypatch):
    monkeypatch.delenv(workers.VARIABLE, raising=False)
    assert (workers.count(), workers.is_chief()) == (1, True)
    for index in range(2):
        monkeypatch.setenv(workers.VARIABLE, described([1, 2], index))
        assert (workers.count(), workers.is_chief()) == (2, index == 0)
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "evaluator": ["c:1"]}
    for kind in ("chief", "worker"):
        monkeypatch.setenv(
            workers.VARIABLE, json.dumps({"cluster": cluster, "task": {"type": kind, "index": 0}})
        )
        assert (workers.count(), workers.is_chief()) == (2, kind == "chief")
    monkeypatch.setenv(workers.VARIABLE, described([1], 0))
    assert (workers.count(), workers.is_chief()) == (1, True)


@pytest.mark.parametrize("written", ["two machines", "[]", '{"cluster": 3}', '{"task": {"index": "x"}}'])
def test_a_variable_that_describes_no_cluster_is_one_line(written, monkeypatch):
    monkeypatch.setenv(workers.VARIABLE, written)
    with pytest.raises(ConfigError, match="describes no cluster: write it as") as caught:
        workers.count()
    assert "\n" not in str(caught.value)


def test_joining_too_late_is_one_line(monkeypatch):
    def late():
        raise RuntimeError("Collective ops must be configured at program startup")

    monkeypatch.setenv(workers.VARIABLE, described([1, 2], 0))
    monkeypatch.setattr("tensorflow.distribute.MultiWorkerMirroredStrategy", late)
    with pytest.raises(KembarError, match=r"TF_CONFIG names 2 workers, and .* unset TF_CONFIG"):
        workers.strategy()
