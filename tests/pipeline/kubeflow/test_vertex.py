from __future__ import annotations

import json

import pytest
import yaml
from kfp.components import load_component_from_file

from pipeline.kubeflow import vertex
from trainer.errors import ConfigError

CONFIG = """
[pipeline]
name = "my_twins"

[data]
format = "csv"
train = "train.csv"
eval = "eval.csv"
test = "test.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }

[vertex]
image = "registry.example/kembar:1"
pipeline_root = "gs://bucket-1/kembar"

[vertex.steps.Trainer]
cpu = 8
memory_gb = 30
accelerators = 1

[vertex.overrides.data]
train = "data/train.csv"
eval = "data/eval.csv"
test = "/gcs/bucket-1/data/test.csv"
"""


def compiled(tmp_path, text=CONFIG):
    config = tmp_path / "twins.toml"
    config.write_text(text)
    vertex.compile_pipeline(config, (), tmp_path / "out" / "pipeline.yaml")
    return tmp_path / "out" / "pipeline.yaml"


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = compiled(tmp_path_factory.mktemp("vertex"))
    load_component_from_file(str(path))
    assert [file.name for file in path.parent.iterdir()] == ["pipeline.yaml"]
    return yaml.safe_load(path.read_text())


def constant(document, task, name):
    given = document["root"]["dag"]["tasks"][task]["inputs"]["parameters"][name]
    return given["runtimeValue"]["constant"]


def test_paths_are_in_the_bucket(document):
    assert document["schemaVersion"] == "2.1.0"
    assert document["pipelineInfo"]["name"] == "my-twins"
    assert document["defaultPipelineRoot"] == "gs://bucket-1/kembar"
    read = json.dumps(document["root"]["dag"]["tasks"]["ExampleGen"]["inputs"])
    assert "/gcs/bucket-1/data/train.csv" in read
    assert "/gcs/bucket-1/data/test.csv" in read
    assert constant(document, "AtomicPusher", "directory") == "/gcs/bucket-1/kembar/serving/my_twins"


def test_the_trainer_gets_its_gpu_and_others_what_the_service_gives(document):
    executors = document["deploymentSpec"]["executors"]
    resources = executors["Trainer_executor"]["container"]["resources"]
    assert resources == {
        "cpuLimit": 8.0,
        "memoryLimit": 30.0,
        "accelerator": {"type": "NVIDIA_L4", "count": "1"},
    }
    assert "resources" not in executors["Transform_executor"]["container"]
    assert {one["container"]["image"] for one in executors.values()} == {"registry.example/kembar:1"}


def test_nothing_waits_for_a_resolver_that_the_service_does_not_have(document):
    tasks = document["root"]["dag"]["tasks"]
    assert not {"ChampionResolver", "AcceptedResolver"} & set(tasks)
    assert set(tasks["QualityGate"]["inputs"]["artifacts"]) == {"model", "evaluation", "baselines"}
    assert "AtomicPusher" in tasks


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            CONFIG[CONFIG.index("[vertex]") :],
            "",
            r"\[vertex\] is missing: add it with image and pipeline_root",
        ),
        ('"gs://bucket-1/kembar"', '"/mnt/kembar"', r"\[vertex\] pipeline_root"),
        ("steps.Trainer", "steps.Trianer", "no such step: did you mean 'Trainer'"),
        ('train = "data/train.csv"', "", r"set train in \[vertex.overrides.data\] to a path below it"),
    ],
)
def test_mistakes_are_one_line(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=said) as error:
        compiled(tmp_path, CONFIG.replace(old, new))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "pipeline.yaml").exists()


TUNING = """
[tuning]
every_run = true

[tuning.space]
model.dropout = [0.1, 0.3]

[vertex.steps.Tuner]
cpu = 4
"""


def test_a_search_is_a_step_of_the_service(tmp_path):
    path = compiled(tmp_path, CONFIG + TUNING)
    load_component_from_file(str(path))
    document = yaml.safe_load(path.read_text())
    tasks = document["root"]["dag"]["tasks"]
    assert "TunedResolver" not in tasks
    assert set(tasks["Tuner"]["inputs"]["artifacts"]) == {"examples", "transform_graph"}
    taken = tasks["Trainer"]["inputs"]["artifacts"]["hyperparameters"]["taskOutputArtifact"]
    assert taken == {"producerTask": "Tuner", "outputArtifactKey": "best_hyperparameters"}
    resources = document["deploymentSpec"]["executors"]["Tuner_executor"]["container"]["resources"]
    assert resources["cpuLimit"] == 4.0


def test_values_of_an_earlier_run_cannot_be_found_there(tmp_path):
    with pytest.raises(ConfigError, match=r"\[tuning\] every_run = false: .* set every_run = true"):
        compiled(tmp_path, CONFIG + TUNING.replace("true", "false"))
