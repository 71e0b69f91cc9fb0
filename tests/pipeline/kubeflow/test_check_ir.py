"""Our check finds what the open-source backend would trip over, each alone."""

# No postponed annotations in here: kfp wants types, not their names.

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, dsl, kubernetes

from pipeline.kubeflow.check_ir import check, find_problems
from trainer.errors import ConfigError


@dsl.container_component
def work(run_id: str, settings: list, metrics: dsl.Output[dsl.Metrics]):
    return dsl.ContainerSpec(
        image="kembar:test",
        command=["kembar", "step"],
        args=["--run-id", run_id, "--settings", settings, "{{$}}"],
    )


@dsl.container_component
def leave(run_id: str, status: dsl.PipelineTaskFinalStatus):
    return dsl.ContainerSpec(image="kembar:test", command=["kembar", "step"], args=["--run-id", run_id])


@dsl.pipeline(name="good")
def good(settings: list = []):  # noqa: B006
    last = leave(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ExitHandler(last):
        first = work(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, settings=settings)
        kubernetes.mount_pvc(first, pvc_name="kembar", mount_path="/mnt/kembar")
        kubernetes.use_secret_as_env(first, secret_name="s", secret_key_to_env={"k": "V"})  # noqa: S106
        first.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
        second = work(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, settings=settings)
        second.after(first)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ir") / "good.yaml"
    compiler.Compiler().compile(good, str(path))
    return path


@pytest.fixture
def documents(compiled: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compiled.read_text()))


def test_good_pipeline_has_no_problems(compiled, documents):
    assert find_problems(documents) == []
    check(compiled)


def spec_of(documents: list[dict[str, Any]]) -> tuple[dict, dict, dict, dict]:
    document, platform = documents
    tasks = document["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    container = document["deploymentSpec"]["executors"]["exec-work"]["container"]
    return document, tasks, container, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


MUTATIONS: dict[str, tuple[Callable[[dict, dict, dict, dict], Any], str]] = {
    "schema": (lambda d, t, c, k: d.update(schemaVersion="2.0.0"), "schemaVersion: '2.0.0'"),
    "name": (lambda d, t, c, k: d["pipelineInfo"].update(name="Not_Good"), "pipelineInfo.name"),
    "resolver": (
        lambda d, t, c, k: d["deploymentSpec"]["executors"]["exec-leave"].update(resolver={}),
        "exec-leave: a resolver",
    ),
    "importer": (
        lambda d, t, c, k: d["deploymentSpec"]["executors"]["exec-leave"].update(importer={}),
        "importer without artifactUri",
    ),
    "custom job": (
        lambda d, t, c, k: d["deploymentSpec"]["executors"]["exec-leave"].update(customJob={}),
        "'customJob' is of the managed service",
    ),
    "image": (lambda d, t, c, k: c.update(image=""), "exec-work: no image"),
    "command": (lambda d, t, c, k: c.pop("command"), "exec-work: no command"),
    "driver": (lambda d, t, c, k: c.update(lifecycle={"preCacheCheck": {}}), "driver of its own"),
    "placeholder": (
        lambda d, t, c, k: c["args"].append("{{$.pipeline_job_uuid}}"),
        "is resolved only as the value of a task's input",
    ),
    "accelerator": (
        lambda d, t, c, k: c["resources"]["accelerator"].update(resourceType="GPU", type="GPU"),
        "'GPU' is no Kubernetes resource",
    ),
    "undeclared": (
        lambda d, t, c, k: c["args"].append("{{$.inputs.parameters['nothing']}}"),
        "names undeclared 'nothing'",
    ),
    "default": (
        lambda d, t, c, k: d["root"]["inputDefinitions"]["parameters"]["settings"].clear(),
        "root: parameter 'settings' has no defaultValue",
    ),
    "type": (
        lambda d, t, c, k: d["components"]["comp-work"]["inputDefinitions"]["parameters"]["run_id"].clear(),
        "parameter 'run_id' has no parameterType",
    ),
    "artifact": (
        lambda d, t, c, k: d["components"]["comp-work"]["outputDefinitions"]["artifacts"]["metrics"].update(
            artifactType={}
        ),
        "artifact 'metrics' has no schemaTitle",
    ),
    "missing input": (
        lambda d, t, c, k: t["work"]["inputs"]["parameters"].pop("run_id"),
        "neither a value nor",
    ),
    "unknown channel": (
        lambda d, t, c, k: t["work"]["inputs"]["parameters"]["settings"].update(componentInputParameter="x"),
        "comes from 'x', which is not declared",
    ),
    "runtime parameter": (
        lambda d, t, c, k: t["work"]["inputs"]["parameters"].update(
            run_id={"runtimeValue": {"runtimeParameter": "x"}}
        ),
        "is a runtimeParameter",
    ),
    "part of a value": (
        lambda d, t, c, k: t["work"]["inputs"]["parameters"]["run_id"]["runtimeValue"].update(
            constant="run-{{$.pipeline_job_uuid}}"
        ),
        "has to be the whole value",
    ),
    "dependency": (lambda d, t, c, k: t["work-2"].update(dependentTasks=["gone"]), "depends on 'gone'"),
    "cycle": (lambda d, t, c, k: t["work"].update(dependentTasks=["work-2"]), "wait for each other"),
    "condition": (
        lambda d, t, c, k: t["work"].update(
            triggerPolicy={"condition": "inputs.parameter_values['flag'] == 'x'"}
        ),
        "its condition names 'flag'",
    ),
    "exit": (
        lambda d, t, c, k: d["root"]["dag"]["tasks"]["leave"].pop("triggerPolicy"),
        "only an exit task gets",
    ),
    "component": (
        lambda d, t, c, k: t["work"]["componentRef"].update(name="x"),
        "its component does not exist",
    ),
    "executor": (
        lambda d, t, c, k: d["components"]["comp-leave"].update(executorLabel="x"),
        "executor 'x' does not exist",
    ),
    "platform": (lambda d, t, c, k: k.update(other={}), "no such executor"),
    "claim": (
        lambda d, t, c, k: k["exec-work"]["pvcMount"][0].pop("mountPath"),
        "needs a claim and a mountPath",
    ),
    "secret": (
        lambda d, t, c, k: [
            k["exec-work"]["secretAsEnv"][0].pop(f"secretName{x}") for x in ("", "Parameter")
        ],
        "without the secret's name",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_fault_is_found(name, documents):
    change, said = MUTATIONS[name]
    changed = copy.deepcopy(documents)
    change(*spec_of(changed))
    found = find_problems(changed)
    assert any(said in problem for problem in found), found


def test_check_names_the_file_and_counts(documents, tmp_path):
    documents[0]["schemaVersion"] = "2.0.0"
    documents[0]["pipelineInfo"]["name"] = ""
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    with pytest.raises(ConfigError, match=r"bad\.yaml: the backend would not run it: schemaVersion.*1 more"):
        check(path)


def test_too_large_for_a_workflow_is_found(documents):
    [said] = find_problems(documents, 800_000)
    assert said.startswith(
        "800,000 bytes, but the workflow made of it has to stay below 1 MB: put [serving] golden_file"
    )


@pytest.fixture(scope="module")
def tfx_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TFX's own runner makes of a plain pipeline of standard components, in schema 2.1."""
    from tfx.components import CsvExampleGen, Pusher, SchemaGen, StatisticsGen, Trainer
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.experimental.latest_blessed_model_resolver import LatestBlessedModelResolver as Latest
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )
    from tfx.orchestration.pipeline import Pipeline
    from tfx.proto import pusher_pb2, trainer_pb2
    from tfx.types import Channel
    from tfx.types.standard_artifacts import Model, ModelBlessing

    examples = CsvExampleGen(input_base="/data")
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    trainer = Trainer(
        run_fn="some.run_fn", examples=examples.outputs["examples"], schema=schema.outputs["schema"],
        train_args=trainer_pb2.TrainArgs(), eval_args=trainer_pb2.EvalArgs(),
    )  # fmt: skip
    latest = Resolver(
        strategy_class=Latest, model=Channel(type=Model), model_blessing=Channel(type=ModelBlessing)
    ).with_id("latest")
    pusher = Pusher(
        model=trainer.outputs["model"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory="/serving")
        ),
    )
    folder = tmp_path_factory.mktemp("tfx")
    runner = KubeflowV2DagRunner(
        config=KubeflowV2DagRunnerConfig(default_image="tfx:test", use_pipeline_spec_2_1=True),
        output_dir=str(folder), output_filename="tfx.json",
    )  # fmt: skip
    runner.run(
        Pipeline(
            pipeline_name="plain", pipeline_root="/root",
            components=[examples, statistics, schema, trainer, latest, pusher],
        ),
        write_out=True,
    )  # fmt: skip
    return folder / "tfx.json"


def test_tfx_own_runner_makes_what_kfp_accepts_and_the_backend_does_not(tfx_pipeline):
    logging.getLogger().setLevel(logging.WARNING)
    document = yaml.safe_load(tfx_pipeline.read_text())
    spec = document.get("pipelineSpec", document)
    components.load_component_from_text(yaml.safe_dump(spec))  # kfp's loader sees nothing wrong
    found = find_problems([spec])
    assert any("a resolver, which the backend does not implement" in problem for problem in found), found
    assert any("driver of its own" in problem for problem in found), found
    with pytest.raises(ConfigError, match="the backend would not run it"):
        check(tfx_pipeline)
