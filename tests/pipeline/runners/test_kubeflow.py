from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.runners.kubeflow import check_step_names, cluster_values
from pipeline.runners.records import RUNNING, Records
from pipeline.runners.step import Parameters, configure, parse_json
from trainer.errors import ConfigError, DataRejected

CONFIG = """
[pipeline]
name = "twins"

[data]
format = "csv"
path = "here.csv"
text_a = "a"
text_b = "b"
label = { column = "same", kind = "binary" }

[kubeflow]
image = "registry.example/kembar:1"
volume_claim = "kembar"

[kubeflow.overrides.data]
path = "data/pairs.csv"
"""


def values_of(tmp_path, text=CONFIG):
    config = tmp_path / "twins.toml"
    config.write_text(text)
    return cluster_values(config, configuration.read(config))


def test_overrides_hold_in_the_cluster_and_are_relative_to_the_volume(tmp_path):
    values = values_of(tmp_path)
    assert values["data"]["path"] == "/mnt/kembar/data/pairs.csv"
    assert "overrides" not in values["kubeflow"]
    json.dumps(values)  # it travels as JSON


def test_a_schema_travels_inside(tmp_path):
    (tmp_path / "pairs.pbtxt").write_text('feature { name: "a" }')
    values = values_of(tmp_path, CONFIG.replace("[data]", '[data]\nschema_file = "pairs.pbtxt"'))
    assert values["data"]["schema_text"] == 'feature { name: "a" }'
    assert "schema_file" not in values["data"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CONFIG[CONFIG.index("[kubeflow]") :], "", "is missing: add it with image and volume_claim"),
        ('path = "data/pairs.csv"', "", "the containers see only /mnt/kembar: set path in"),
        ("[kubeflow]", '[kubeflow]\npipeline_root = "/srv/x"', "'/srv/x' is not below /mnt/kembar"),
        ("[data]", '[data]\nschema_file = "none.pbtxt"', "schema_file: .*No such file"),
        ('"data/pairs.csv"', '"/home/me/pairs.csv"', "'/home/me/pairs.csv'"),
    ],
)
def test_what_the_cluster_cannot_have_is_one_line(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=said) as error:
        values_of(tmp_path, CONFIG.replace(old, new))
    assert "\n" not in str(error.value)
    assert "twins.toml" in str(error.value)


def test_a_run_parameter_is_laid_over_what_was_compiled(tmp_path):
    values = values_of(tmp_path)
    told = Parameters("new/pairs.csv", 3, ("training.batch_size=64", "gates.floors.accuracy=0.7"))
    config = configure(values, told)
    assert config.data.path == (Path("/mnt/kembar/new/pairs.csv"),)
    assert (config.training.epochs, config.training.batch_size) == (3, 64)
    assert config.gates.floors == {"accuracy": 0.7}
    assert configure(values, Parameters()).data.path == (Path("/mnt/kembar/data/pairs.csv"),)


@pytest.mark.parametrize("setting", ["training.epochs=many", "training.epoch=3", "epochs"])
def test_a_wrong_run_parameter_is_an_error_of_the_configuration(tmp_path, setting):
    with pytest.raises(ConfigError, match="epoch"):
        configure(values_of(tmp_path), Parameters(settings=(setting,)))


@pytest.mark.parametrize(("text", "said"), [("[", "no JSON"), ("{}", "a JSON list is wanted")])
def test_parameters_are_json_of_their_kind(text, said):
    with pytest.raises(ConfigError, match=f"--settings.*{said}"):
        parse_json("--settings", text, list)


def test_a_misspelt_step_is_named():
    with pytest.raises(ConfigError, match=r"\[kubeflow.steps\] 'Trianer': .* did you mean 'Trainer'"):
        check_step_names("kubeflow", {"Trianer": 1}, ["Trainer", "Transform"])


class Graph:
    node_ids = ("ExampleGen", "DataGate", "Trainer", "AtomicPusher")


def test_records_tell_how_each_step_ended(tmp_path):
    records = Records.of(tmp_path, "run-1")
    ended = {"seconds": 1.0, "peak_memory_mb": 9, "execution": None, "error": None}
    records.write("ExampleGen", {"state": "ran", **ended})
    error = {"type": "DataRejected", "message": "label: missing"}
    records.write("DataGate", {"state": "failed", **ended, "error": error})
    records.write("Trainer", {"state": RUNNING})
    read = records.steps(Graph())
    assert [step.state for step in read] == ["ran", "failed", "failed", "skipped"]
    assert isinstance(read[1].error, DataRejected)
    assert "Trainer: its container was ended while it worked" in str(read[2].error)
    assert not list(records.folder.glob("*.new"))


@pytest.mark.parametrize("run_id", ["", "..", "../up", "a b", "x;y"])
def test_a_run_id_cannot_leave_its_folder(tmp_path, run_id):
    with pytest.raises(ConfigError, match="letters, digits"):
        Records.of(tmp_path, run_id)
