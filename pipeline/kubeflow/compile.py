"""The graph as a pipeline for Kubeflow Pipelines v2: every node is a container that runs `kembar step`.

KFP gives pods, GPUs, retries, schedules and a page to look at. Inputs, cache and champion are resolved by
TFX's own launcher in each container, as on a laptop: docs/kubeflow.md says why.
"""

from __future__ import annotations

import copy
import inspect
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kfp import compiler, dsl, kubernetes
from kfp.dsl import PipelineTask
from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig, FakeDatabaseConfig

from components.serving_gate.golden import read_golden
from pipeline.config import configuration
from pipeline.config.cluster import Kubeflow, StepResources
from pipeline.config.configuration import PACKAGE, Config
from pipeline.graph.plan import Plan
from pipeline.kubeflow import check_ir, run_configuration, user_interface
from pipeline.kubeflow.records import CONCLUDE
from pipeline.kubeflow.run_configuration import Parameters, configure, root_of
from pipeline.outputs import write_output
from pipeline.runs.launch import launcher_of
from pipeline.store.database import PASSWORD, USER
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, suggestion
from trainer.spec import narrow

_NO_DATABASE = ConnectionConfig(fake_database=FakeDatabaseConfig())
# Argo retries no longer than that after a step has first started, and ends a try that is still at work then.
# kfp allows an hour at most, which a training outlasts; the number of tries and their timeout are limits.
_RETRY_DAYS = 30
# Types of the run parameters, which are the fields of Parameters.
_TYPES: dict[str, type] = {"data_path": str, "epochs": int, "settings": list, "force": bool}


def compile_pipeline(path: Path, settings: Sequence[str], output: Path) -> str:
    """Writes IR 2.1 and the platform document, checked, and all at once; the text.

    Args:
      path: The configuration file.
      settings: `section.key=value` on top of it.
      output: The YAML file.

    Raises:
      ConfigError: the configuration has no `[kubeflow]`, or names what the cluster cannot have.
    """
    values = cluster_values(path, configuration.read(path, settings))
    config = configure(values, Parameters())
    pipeline = _pipeline(config, values)
    for component in pipeline.pipeline_spec.components.values():
        for task in component.dag.tasks.values():
            if task.HasField("retry_policy"):
                task.retry_policy.backoff_max_duration.FromSeconds(_RETRY_DAYS * 86_400)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(fresh))
        check_ir.check(fresh)
        text = fresh.read_text(encoding="utf-8")
    write_output(output, text)
    return text


def cluster_values(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """The configuration as the containers get it: `overrides` applied, schema inside, paths on the volume.

    Raises:
      ConfigError: no `[kubeflow]`, or a path that only this machine has.
    """
    values = copy.deepcopy(values)
    if not isinstance(values.get("kubeflow"), dict):
        raise ConfigError(f"{path}: [kubeflow] is missing: add it with image and volume_claim")
    overrides = values["kubeflow"].pop("overrides", {})
    cluster = narrow(configuration.validate(values, str(path)).kubeflow, Kubeflow)
    mount = Path(cluster.mount_path)
    move_inside(path, values, overrides, mount, "kubeflow")
    if cluster.pipeline_root and not PurePosixPath(cluster.pipeline_root).is_relative_to(mount):
        raise ConfigError(
            f"{path}: [kubeflow] pipeline_root = {cluster.pipeline_root!r} is not below {mount}"
        )
    return values


def move_inside(
    path: Path, values: dict[str, Any], overrides: dict[str, Any], mount: Path, section: str
) -> None:
    """Changes `values` to what holds in containers that see `mount` and nothing else of this machine.

    Raises:
      ConfigError: a path that only this machine has.
    """
    if section in overrides:
        raise ConfigError(f"{path}: [{section}.overrides.{section}]: write its keys into [{section}] itself")
    try:
        configuration.make_absolute(overrides, mount)
    except ConfigError as error:
        raise ConfigError(f"{path}: [{section}.overrides]: {error}") from None
    configuration.lay_over(values, overrides)
    values.pop("schedule", None)
    data = values["data"]
    schema = data.get("schema_file", "")
    if schema and not schema.startswith(PACKAGE) and not Path(schema).is_relative_to(mount):
        try:
            data["schema_text"] = Path(data.pop("schema_file")).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: [data] schema_file: {error}") from None
    serving = values.get("serving", {})
    golden = serving.get("golden_file", "")
    if golden and not Path(golden).is_relative_to(mount):
        serving["golden"] = [
            request.model_dump() for request in read_golden(Path(serving.pop("golden_file")))
        ]

    def check(written: str, full_key: str) -> str:
        if not written.startswith(PACKAGE) and not Path(written).is_relative_to(mount):
            table, _, key = full_key.removeprefix("[").partition("] ")
            raise ConfigError(
                f"{path}: {full_key} = {written!r}: the containers see only {mount}: set {key} in "
                f"[{section}.overrides.{table}] to a path below it"
            )
        return written

    configuration.change_paths(values, check)


def _pipeline(config: Config, values: dict[str, Any]) -> Any:
    """The kfp pipeline: a task a node, the graph's edges between them, and Conclude behind all."""
    cluster = narrow(config.kubeflow, Kubeflow)
    workdir = Workdir.of(config, root_of(config))
    # Only the graph is wanted here; the containers connect to their own database.
    launcher = launcher_of(config, workdir, _NO_DATABASE, "compiled", Plan())
    check_step_names("kubeflow", cluster.steps, [*launcher.node_ids, CONCLUDE])
    carried_by = {launcher.node_ids[0]: values, CONCLUDE: run_configuration.for_exit_task(values)}
    makers = {node: _component(node, config, carried_by.get(node)) for node in [*launcher.node_ids, CONCLUDE]}

    def pipeline(data_path: str = "", epochs: int = 0, settings: list = [], force: bool = False) -> None:  # noqa: B006
        arguments = {"data_path": data_path, "epochs": epochs, "settings": settings, "force": force}
        arguments["run_id"] = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        last = makers[CONCLUDE](**arguments)
        _equip(last, CONCLUDE, config)
        tasks: dict[str, PipelineTask] = {}
        with dsl.ExitHandler(last):
            for node in launcher.node_ids:
                tasks[node] = task = makers[node](**arguments)
                _equip(task, node, config)
                # The first step writes down the configuration that all others read.
                before = launcher.upstream(node) or list(tasks)[:-1][:1]
                if cluster.database is None and len(tasks) > 1:
                    # SQLite on a shared volume allows one writer: one step after the other.
                    before = list(tasks)[-2:-1]
                task.after(*(tasks[name] for name in before))

    pipeline.__annotations__ = dict(_TYPES)  # kfp wants types, not their names
    return dsl.pipeline(name=config.pipeline.name.replace("_", "-"))(pipeline)


def _component(node: str, config: Config, values: dict[str, Any] | None) -> Any:
    """The component of one node, made as `@dsl.container_component` makes one from a function's signature.

    `values` is the configuration that its command carries.
    """
    shown = user_interface.outputs_of(node, config)
    cluster = narrow(config.kubeflow, Kubeflow)
    wanted = cluster.resources(node)
    inputs: dict[str, Any] = {"run_id": str, **_TYPES}
    if node == CONCLUDE:
        inputs["status"] = dsl.PipelineTaskFinalStatus

    def step(*channels: Any) -> dsl.ContainerSpec:
        channel_of = dict(zip(inputs, channels, strict=False))  # outputs follow
        arguments = ["--node", node, "--run-id", channel_of["run_id"], "--root", str(root_of(config))]
        if values is not None:
            arguments += ["--config", run_configuration.pack(values)]
        for name in _TYPES:
            arguments += [f"--{name.replace('_', '-')}", channel_of[name]]
        if wanted.accelerators:
            arguments += ["--gpus", str(wanted.accelerators)]
        arguments += ["--executor-input", "{{$}}"]
        return dsl.ContainerSpec(
            image=wanted.image or cluster.image, command=["kembar", "step"], args=arguments
        )

    outputs = {name: dsl.Output[kind] for name, kind in shown.items()}
    step.__name__ = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node).lower()
    step.__doc__ = f"Runs {node}."
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    step.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, annotation=value) for name, value in {**inputs, **outputs}.items()]
    )
    step.__annotations__ = {**inputs, **outputs}
    return dsl.container_component(step)


def _equip(task: PipelineTask, node: str, config: Config) -> None:
    """Everything that the cluster gives a step."""
    cluster = narrow(config.kubeflow, Kubeflow)
    task.set_display_name(node)
    # TFX has a cache of its own, which knows inputs and code.
    task.set_caching_options(False)
    kubernetes.mount_pvc(task, pvc_name=cluster.volume_claim, mount_path=cluster.mount_path)
    variables = {"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": "2"}  # noqa: S108 - any user may run it
    secrets = []
    for name, source in cluster.environment.items():
        variables.pop(name, None)
        if isinstance(source, str):
            variables[name] = source
        else:
            secrets.append((source.secret, source.key, name))
    for name, value in variables.items():
        # Kubernetes would put the value of VAR in the place of $(VAR).
        task.set_env_variable(name, value.replace("$", "$$"))
    if (database := cluster.database) is not None:
        keys = {database.user_key: USER, database.password_key: PASSWORD}
        secrets += [(database.secret, key, name) for key, name in keys.items()]
    if cluster.webhook is not None:
        # All steps: after KFP's Retry, which keeps an exit task that has succeeded, one of them ends the run.
        secrets.append((cluster.webhook.secret, cluster.webhook.key, config.notify.webhook))
    for secret, key, variable in secrets:
        # One at a time: two variables may want the same key.
        kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={key: variable})
    if cluster.image_pull_policy is not None:
        kubernetes.set_image_pull_policy(task, cluster.image_pull_policy)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    _ask(task, cluster.resources(node))


def _ask(task: PipelineTask, wanted: StepResources) -> None:
    limits = {
        task.set_cpu_request: wanted.cpu,
        task.set_cpu_limit: wanted.cpu_limit,
        task.set_memory_request: wanted.memory,
        task.set_memory_limit: wanted.memory_limit,
    }
    for setter, value in limits.items():
        if value is not None:
            setter(value)
    if wanted.has_shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", "Memory", wanted.shared_memory)  # noqa: S108
    if wanted.accelerators:
        task.set_accelerator_type(wanted.accelerator).set_accelerator_limit(wanted.accelerators)
    for label, value in wanted.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in wanted.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))
    if wanted.retries:
        task.set_retry(wanted.retries, f"{wanted.retry_delay_seconds}s", backoff_factor=1.0)
    if wanted.timeout_seconds is not None:
        kubernetes.set_timeout(task, wanted.timeout_seconds)


def check_step_names(section: str, steps: Iterable[str], known: list[str]) -> None:
    """Raises ConfigError where `[SECTION.steps]` names a step that is not `known`."""
    for name in steps:
        if name not in known:
            fix = suggestion(name, known, f"there are {', '.join(known)}")
            raise ConfigError(f"[{section}.steps] {name!r}: no such step: {fix}")
