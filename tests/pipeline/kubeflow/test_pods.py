"""The pods and the workflow that KFP makes of a compiled pipeline, and what is refused before it does."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import yaml

from pipeline.kubeflow import check_ir, pods, run_configuration
from pipeline.kubeflow.compile import compile_pipeline
from trainer.errors import ConfigError

CONFIG = """
[pipeline]
name = "digits"

[data]
format = "csv"
path = "package:sklearn/datasets/data/digits.csv.gz"
header = false
columns = ["pixel0..pixel63", "digit"]
vector = {{ columns = ["pixel0..pixel63"], dimension = 64, range = [0, 16] }}
label = {{ column = "digit", kind = "classes", classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] }}

[model]
family = "dense"

[tuning.space]
training.learning_rate = [0.1, 0.2]

[bulk]
input = "package:sklearn/datasets/data/digits.csv.gz"

[retraining]

[serving]
golden_file = "{golden}"

[kubeflow]
image = "registry.example/kembar:1"
volume_claim = "kembar"
environment.SHARED = "x"

[kubeflow.steps.Trainer]
memory = "4Gi"
memory_limit = "8Gi"
accelerators = 2
timeout_seconds = 60
node_selector = {{ pool = "gpu" }}
tolerations = [{{ operator = "Exists" }}]
"""


def golden_of(path, size):
    """Requests of random numbers, which no compression makes much smaller: `size` bytes of JSON."""
    numbers = np.random.default_rng(1).uniform(0, 16, (size // 620, 64)).round(6).tolist()
    path.write_text(
        json.dumps([{"signature": "serving_default", "inputs": {"vector": [vector]}} for vector in numbers])
    )
    assert 0 < path.stat().st_size - size < 20_000
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """21 steps and more, and 100 KB of golden requests."""
    folder = tmp_path_factory.mktemp("large")
    golden = golden_of(folder / "golden.json", 102_400)
    (folder / "digits.toml").write_text(CONFIG.format(golden=golden))
    compile_pipeline(folder / "digits.toml", (), folder / "pipeline.yaml")
    return list(yaml.safe_load_all((folder / "pipeline.yaml").read_text()))


def test_a_hundred_kilobytes_of_golden_requests_stay_under_half_of_what_argo_keeps(large):
    made = pods.pods_of(large)
    assert len(made) >= 21
    size = pods.size_of(large)
    # KFP 2.16.1's own compiler and all statuses: 439,918 bytes.
    assert 400_000 < size.workflow < pods.MOST_BYTES / 2
    texts = [
        word for pod in made.values() for word in pod["spec"]["containers"][0]["args"] if len(word) > 1_000
    ]
    assert len(texts) == 1
    assert len(run_configuration.unpack(texts[0])["serving"]["golden"]) > 100


def test_a_pod_has_what_its_step_asks_for(large):
    spec = pods.pods_of(large)["trainer"]["spec"]
    [container] = spec["containers"]
    assert container["resources"] == {
        "requests": {"memory": "4Gi"},
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "2"},
    }
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"pool": "gpu"}, [{"operator": "Exists"}])
    assert spec["activeDeadlineSeconds"] == 60
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
    assert {"name": "SHARED", "value": "x"} in container["env"]
    assert container["args"][:4] == ["kembar", "step", "--node", "Trainer"]


def test_kubernetes_schemas_are_asked(large):
    assert check_ir.find_problems(large) == []
    wrong = copy.deepcopy(large)
    executors = wrong[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["exec-trainer"]["tolerations"] = [{"operator": "Exists", "efect": "NoSchedule"}]
    found = check_ir.find_problems(wrong)
    assert len(found) == len(pods.KUBERNETES)
    assert found[0].startswith("pod of trainer: Kubernetes 1.29: spec.tolerations.0: ")
    assert "efect" in found[0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mountPath", "/gcs", "mountPath '/gcs' stands there twice: KFP has that folder for itself"),
        ("mountPath", "/var/run/argo", "mountPath '/var/run/argo' stands there twice"),
        ("constant", "gcs-scratch", "volume 'gcs-scratch' stands there twice: KFP or a step's shared memory"),
        ("constant", "shared-memory", "volume 'shared-memory' stands there twice"),
    ],
)
def test_what_stands_in_a_pod_twice_is_found(large, monkeypatch, key, value, said):
    monkeypatch.setattr(pods, "has_schemas", lambda: False)
    wrong = copy.deepcopy(large)
    executors = wrong[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["exec-trainer"]["pvcMount"][0][key] = value
    [found] = check_ir.find_problems(wrong)
    assert found.startswith(f"pod of trainer: {said}")


def test_a_variable_that_two_keys_set_is_found(large, monkeypatch):
    monkeypatch.setattr(pods, "has_schemas", lambda: False)
    wrong = copy.deepcopy(large)
    wrong[0]["deploymentSpec"]["executors"]["exec-trainer"]["container"]["env"].append(
        {"name": "SHARED", "value": "y"}
    )
    [found] = check_ir.find_problems(wrong)
    assert found.startswith(
        "pod of trainer: env 'SHARED' stands there twice: [kubeflow] environment, database"
    )


@pytest.mark.parametrize(
    ("kind", "added"),
    [("args", "x" * 131_072), ("env", {"name": "A", "value": "\N{GREEK SMALL LETTER ALPHA}" * 65_535})],
)
def test_more_than_linux_passes_at_once_is_refused_with_the_way_out(large, monkeypatch, kind, added):
    monkeypatch.setattr(pods, "has_schemas", lambda: False)
    wrong = copy.deepcopy(large)
    wrong[0]["deploymentSpec"]["executors"]["exec-trainer"]["container"][kind].append(added)
    assert next(pods.problems(wrong)).startswith(
        "an argument or variable of 131,072 bytes, but Linux passes 131,071: put [serving] golden_file"
    )


def test_what_argo_cannot_keep_is_refused(large):
    wrong = copy.deepcopy(large)
    noise = np.random.default_rng(2)
    for executor in wrong[0]["deploymentSpec"]["executors"].values():
        executor["container"]["args"].append(noise.bytes(20_000).hex())
    [said] = check_ir.find_problems(wrong)
    assert said.startswith("the workflow with its statuses gets about ")


def test_what_was_checked_is_said(large, monkeypatch):
    versions, made, *names, sizes = pods.describe(large)
    assert versions.startswith("KFP 2.14 to 2.17: ")
    assert made == "pods: 23, names, requests and limits, against the schemas of Kubernetes 1.29 and 1.37"
    assert names == ["images: registry.example/kembar:1", "claims: kembar", "secrets: none"]
    assert f"about {pods.size_of(large).workflow:,} of 1,048,576 bytes" in sizes
    monkeypatch.setattr(pods, "has_schemas", lambda: False)
    assert pods.describe(large)[1].endswith(
        "not against Kubernetes' schemas: pip install kubernetes-validate"
    )


def test_a_packed_configuration_holds_no_placeholder():
    values = {
        "a": "$(HOME) {{workflow.name}} {{$.inputs.parameters['x']}} \N{PILE OF POO}",
        "b": [1, 2.5, None],
    }
    packed = run_configuration.pack(values)
    assert run_configuration.unpack(packed) == values
    assert packed.isascii()
    assert not {"$", "{"} & set(packed)


@pytest.mark.parametrize(
    "packed", ["", "x", "{}", run_configuration.pack([])[:-4], run_configuration.pack([])]
)
def test_what_was_not_packed_is_one_line(packed):
    with pytest.raises(ConfigError, match=r"--config .*: is not what `kembar compile` writes") as error:
        run_configuration.unpack(packed)
    assert "\n" not in str(error.value)
