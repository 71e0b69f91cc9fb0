from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kfp.components import load_component_from_file

from pipeline.config import configuration
from pipeline.kubeflow.compile import check_step_names, cluster_values, compile_pipeline
from pipeline.kubeflow.records import RUNNING, Records
from pipeline.kubeflow.run_configuration import Parameters, configure, parse_json
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
        (
            "[kubeflow]",
            '[validation]\nserving_log = "log/*.jsonl"\n[kubeflow]',
            "set serving_log in",
        ),
        ("[kubeflow]", '[kubeflow]\npipeline_root = "/srv/x"', "'/srv/x' is not below /mnt/kembar"),
        (
            "[kubeflow.overrides.data]",
            '[kubeflow.overrides.kubeflow]\nmount_path = "/x"\n[kubeflow.overrides.data]',
            r"\[kubeflow.overrides.kubeflow\]: write its keys into \[kubeflow\] itself",
        ),
        ("[data]", '[data]\nschema_file = "none.pbtxt"', "schema_file: .*No such file"),
        ('"data/pairs.csv"', '"/home/me/pairs.csv"', "'/home/me/pairs.csv'"),
        (
            '"data/pairs.csv"',
            '"gs://bucket/pairs.csv"',
            r'\[data\] path = "gs://bucket/pairs.csv": a URL, and only files of this machine are read',
        ),
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


EVERYTHING = (
    CONFIG.replace(
        'volume_claim = "kembar"',
        """volume_claim = "shared"
image_pull_policy = "Always"
image_pull_secrets = ["registry"]
database = { host = "db", secret = "account" }
webhook = { secret = "hook", key = "url" }
environment.PLAIN = "$(ONE) costs $5"
environment.HOME = "/home/kembar"
environment.ONE = { secret = "account", key = "username" }
environment.TWO = { secret = "account", key = "username" }
""",
    )
    + """
[kubeflow.default]
cpu = "500m"
memory = "3Gi"
node_selector = { pool = "cpu" }

[kubeflow.steps.Evaluator]
shared_memory = "1Gi"

[kubeflow.steps.Trainer]
image = "registry.example/kembar:1-gpu"
cpu_limit = "8"
memory_limit = "16Gi"
accelerators = 2
node_selector = { pool = "gpu" }
tolerations = [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
retries = 2
retry_delay_seconds = 60
timeout_seconds = 7200
"""
)


class Compiled(NamedTuple):
    """Both documents of a compiled pipeline, by task name."""

    tasks: dict[str, Any]
    containers: dict[str, Any]
    platform: dict[str, Any]


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Compiled:
    folder = tmp_path_factory.mktemp("everything")
    (folder / "twins.toml").write_text(EVERYTHING)
    compile_pipeline(folder / "twins.toml", (), folder / "pipeline.yaml")
    load_component_from_file(str(folder / "pipeline.yaml"))
    pipeline, platform = yaml.safe_load_all((folder / "pipeline.yaml").read_text())
    executors = pipeline["deploymentSpec"]["executors"]
    tasks = {
        **pipeline["root"]["dag"]["tasks"],
        **pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"],
    }
    return Compiled(
        tasks,
        {label.removeprefix("exec-"): executor["container"] for label, executor in executors.items()},
        {
            label.removeprefix("exec-"): executor
            for label, executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items()
        },
    )


def variables(platform: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Variable to secret and key."""
    return {
        pair["envVar"]: (source["secretName"], pair["secretKey"])
        for source in platform["secretAsEnv"]
        for pair in source["keyToEnv"]
    }


def test_a_step_asks_for_what_its_section_says_and_else_for_the_default(everything):
    asked = {
        name: {key: value for key, value in container["resources"].items() if key.startswith("resource")}
        for name, container in everything.containers.items()
    }
    default = {"resourceCpuRequest": "500m", "resourceMemoryRequest": "3Gi"}
    trainer = asked.pop("trainer")
    assert trainer == {**default, "resourceCpuLimit": "8", "resourceMemoryLimit": "16Gi"}
    assert list(asked.values()) == [default] * 15
    gpu = everything.containers["trainer"]["resources"]["accelerator"]
    assert (gpu["resourceType"], gpu["resourceCount"]) == ("nvidia.com/gpu", "2")
    assert not [name for name in asked if "accelerator" in everything.containers[name]["resources"]]
    checking = [name for name, container in everything.containers.items() if "--gpus" in container["args"]]
    assert checking == ["trainer"]


def test_a_step_runs_where_its_section_says(everything):
    trainer, transform = everything.platform["trainer"], everything.platform["transform"]
    assert trainer["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert transform["nodeSelector"] == {"labels": {"pool": "cpu"}}
    assert trainer["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "tolerations" not in transform
    assert trainer["activeDeadlineSeconds"] == "7200"
    assert "activeDeadlineSeconds" not in transform


def test_a_step_is_tried_again_however_long_it_was_at_work(everything):
    policy = everything.tasks["trainer"]["retryPolicy"]
    assert (policy["maxRetryCount"], policy["backoffDuration"]) == (2, "60s")
    assert float(policy["backoffMaxDuration"].removesuffix("s")) == 30 * 24 * 3600
    assert [name for name, task in everything.tasks.items() if "retryPolicy" in task] == ["trainer"]


def test_every_step_has_image_volume_and_secrets(everything):
    secrets = {
        "ONE": ("account", "username"),
        "TWO": ("account", "username"),
        "KEMBAR_DATABASE_USER": ("account", "username"),
        "KEMBAR_DATABASE_PASSWORD": ("account", "password"),
        # After KFP's Retry another step than the last task may be the one that ends the run.
        "KEMBAR_WEBHOOK_URL": ("hook", "url"),
    }
    assert len(everything.platform) == 16
    for name, platform in everything.platform.items():
        assert variables(platform) == secrets, name
        assert (platform["pvcMount"][0]["constant"], platform["pvcMount"][0]["mountPath"]) == (
            "shared",
            "/mnt/kembar",
        )
        assert platform["imagePullPolicy"] == "Always"
        assert [secret["secretName"] for secret in platform["imagePullSecret"]] == ["registry"]
        image = "registry.example/kembar:1" + ("-gpu" if name == "trainer" else "")
        assert everything.containers[name]["image"] == image


def test_a_plain_variable_stays_what_it_is_and_goes_before_ours(everything):
    for container in everything.containers.values():
        told = {one["name"]: one["value"] for one in container["env"]}
        # Kubernetes makes "$" of "$$", and a value of "$(ONE)".
        assert told == {"PLAIN": "$$(ONE) costs $$5", "HOME": "/home/kembar", "TF_CPP_MIN_LOG_LEVEL": "2"}


def test_several_gpus_get_memory_to_share(everything):
    shared = {
        name: (mount["mountPath"], mount["medium"], mount.get("sizeLimit"))
        for name, one in everything.platform.items()
        for mount in one.get("emptyDirMounts", [])
    }
    place = "/dev/shm"  # noqa: S108
    assert shared == {"trainer": (place, "Memory", None), "evaluator": (place, "Memory", "1Gi")}


def test_steps_that_do_not_need_each_other_wait_for_each_other_only_without_a_database(everything, tmp_path):
    assert everything.tasks["baselines"]["dependentTasks"] == ["data-gate", "example-gen"]
    assert everything.tasks["trainer"]["dependentTasks"] == ["transform"]
    assert everything.tasks["accepted-resolver"]["dependentTasks"] == ["example-gen"]
    assert "accepted-resolver" in everything.tasks["data-gate"]["dependentTasks"]
    # The first step alone carries the configuration, and nothing starts before it.
    assert everything.tasks["import-schema-gen"]["dependentTasks"] == ["example-gen"]
    assert "dependentTasks" not in everything.tasks["example-gen"]
    carriers = [name for name, one in everything.containers.items() if "--config" in one["args"]]
    assert carriers == ["conclude", "example-gen"]
    (tmp_path / "twins.toml").write_text(CONFIG)
    compile_pipeline(tmp_path / "twins.toml", (), tmp_path / "pipeline.yaml")
    pipeline, _ = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    tasks = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"].values()
    assert sorted(len(task.get("dependentTasks", [])) for task in tasks) == [0, *[1] * 14]


@pytest.mark.parametrize(
    "quantity",
    ['cpu = "4Gi"', 'cpu_limit = "2k"', 'memory = "1.5Gi"', 'memory = "300m"', 'memory_limit = "8K"'],
)
def test_a_quantity_that_kfp_or_kubernetes_refuses_is_an_error_of_the_configuration(tmp_path, quantity):
    key = quantity.split()[0]
    with pytest.raises(ConfigError, match=rf"twins.toml: \[kubeflow\] default.{key} = "):
        values_of(tmp_path, f"{CONFIG}\n[kubeflow.default]\n{quantity}\n")


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


def test_a_search_becomes_two_steps_with_resources_of_their_own(tmp_path):
    tuning = (
        "\n[tuning.space]\ntraining.learning_rate = [0.1, 0.2]\n[kubeflow.steps.Tuner]\naccelerators = 1\n"
    )
    config = tmp_path / "twins.toml"
    config.write_text(CONFIG + tuning)
    compile_pipeline(config, (), tmp_path / "out.yaml")
    documents = list(yaml.safe_load_all((tmp_path / "out.yaml").read_text()))
    ir = documents[0]
    tasks = next(
        component["dag"]["tasks"]
        for component in ir["components"].values()
        if "tuner" in component.get("dag", {}).get("tasks", {})
    )
    assert {"tunedresolver", "tuner", "trainer"} <= {name.replace("-", "") for name in tasks}
    executors = ir["deploymentSpec"]["executors"]
    [container] = [one["container"] for one in executors.values() if "Tuner" in one["container"]["args"]]
    assert container["resources"]["accelerator"]["resourceCount"] == "1"
    assert "--gpus" in container["args"]


REFUSED = [
    ('memory_limit = "4Gi"', '[kubeflow.steps.Trainer]\nmemory = "16Gi"', "steps.Trainer: memory = '16Gi'"),
    ('cpu_limit = "1"', '[kubeflow.steps.Conclude]\ncpu = "1500m"', "steps.Conclude: cpu = '1500m' is more"),
    ('cpu = "4"\ncpu_limit = "3.999"', "", "default: cpu = '4' is more than cpu_limit = '3.999'"),
    ('memory = "1Gi"\nmemory_limit = "1073741823"', "", "default: memory = '1Gi' is more"),
    ('shared_memory = "2Gi"\nmemory_limit = "2G"', "", "default: shared_memory = '2Gi' is more"),
    ('cpu = "0.0001"', "", "default.cpu"),
    ('accelerator = "gpu"', "", "default.accelerator"),
    ('node_selector = { "bad key!" = "x" }', "", "default.node_selector"),
    ('node_selector = { pool = "x y" }', "", "default.node_selector.pool"),
    (f'node_selector = {{ {"a" * 64} = "x" }}', "", "default.node_selector"),
    ('tolerations = [{ key = "a b", operator = "Exists" }]', "", "default.tolerations.0.key"),
    ("timeout_seconds = 0", "", "default.timeout_seconds"),
    ("timeout_seconds = 2147483648", "", "default.timeout_seconds"),
    ('image = "Upper/Case:1"', "", "default.image"),
    ('image = "a..b/kembar:1"', "", "default.image"),
    ('image = "r/kembar@sha256:abc"', "", "default.image"),
    ('node_selector = { "a..b/c" = "x" }', "", "default.node_selector"),
    (f'node_selector = {{ "{"a." * 127}b/c" = "x" }}', "", "default.node_selector"),
    ("node_selector = { gpu = true }", "", "default.node_selector.gpu = true: is not what"),
    ('tolerations = [{ key = "a.-b/c", operator = "Exists" }]', "", "default.tolerations.0.key"),
    ('accelerator = "nvidia..com/gpu"', "", "default.accelerator"),
    ('accelerator = "requests.nvidia.com/gpu"', "", "default.accelerator"),
    ('accelerator = "a.kubernetes.io/gpu"', "", "default.accelerator"),
    ("accelerators = 2147483648", "", "default.accelerators"),
    ("retries = 2147483648", "", "default.retries"),
    ("retry_delay_seconds = 2147483648", "", "default.retry_delay_seconds"),
    ("cpu = 2", "", "default.cpu = 2: is not what KFP and Kubernetes take: write cores such as '2'"),
]  # fmt: skip


@pytest.mark.parametrize(("default", "step", "said"), REFUSED)
def test_what_kubernetes_would_refuse_of_a_step_is_refused_after_the_defaults(tmp_path, default, step, said):
    with pytest.raises(ConfigError, match=rf"twins.toml: \[kubeflow\].*{re.escape(said)}"):
        values_of(tmp_path, f"{CONFIG}\n[kubeflow.default]\n{default}\n{step}\n")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("volume_claim", '"a.b"', "is not what Kubernetes takes"),
        ("volume_claim", f'"{"a" * 64}"', "at most 63"),
        ("namespace", '"My-Space"', "is not what Kubernetes takes"),
        ("image", '"registry.example/kembar:1 "', "is not what Kubernetes takes"),
        ("mount_path", '"/gcs"', "take another"),
        ("mount_path", '"/mnt/$(HOME)"', "which Kubernetes reads as its own"),
        ("pipeline_root", '"gs://bucket/x"', "an object store is no folder"),
        ("webhook", '{ secret = "a", key = "b c" }', "is not what Kubernetes takes"),
        ("environment.A", '"{{workflow.name}}"', "KFP and Argo replace"),
        ("environment.A", "5", r"environment.A = 5"),
        ("environment.A", r'"a\u0000b"', "Linux ends a variable at"),
        ("environment.KFP_POD_NAME", '"x"', "is a variable that KFP or Argo sets"),
        ("environment.ARGO_TEMPLATE", '"x"', "is a variable that KFP or Argo sets"),
        ("database", '{ host = "db:3306", secret = "a" }', "the port has a key of its own"),
        ("database", '{ host = "db", secret = "a", user_key = "user name" }', "user_key"),
        ("database", '{ host = "db", secret = "a", password_key = "" }', "password_key"),
        ("mount_path", '"/proc/x"', "take another, such as /mnt/kembar"),
        ("mount_path", '"/opt/kembar/data"', "take another"),
        ("mount_path", '"/var/run/argo"', "take another"),
        ("experiment", '""', "experiment"),
        ("webhook", '{ secret = "a", key = ".." }', "is not what Kubernetes takes"),
        ("environment.A", '{ secrets = "a", key = "b" }', "environment.A.secret is missing"),
    ],
)
def test_what_kubernetes_would_refuse_of_all_steps_is_refused(tmp_path, key, value, said):
    text = re.sub(rf"\n{key} = .*", "", CONFIG)
    with pytest.raises(ConfigError, match=said):
        values_of(tmp_path, text.replace("[kubeflow]", f"[kubeflow]\n{key} = {value}"))


def test_what_kubernetes_takes_is_taken(tmp_path):
    default = """
image = "registry.example:5000/a/b_c/kembar@sha256:%s"
cpu = "0.5"
cpu_limit = "500m"
memory = "1Gi"
memory_limit = "1073741824"
node_selector = { "cloud.google.com/gke-nodepool" = "", "a.b/C_d" = "X.y-z_1" }
tolerations = [{ operator = "Exists" }]
""" % ("0" * 64)
    database = 'database = { host = "fd00::1", secret = "a" }\nmount_path = "//srv/opt"\n'
    text = CONFIG.replace("[kubeflow]", f"[kubeflow]\n{database}")
    values = values_of(tmp_path, f"{text}\n[kubeflow.default]\n{default}")
    assert configure(values, Parameters()).kubeflow.mount_path == "/srv/opt"
