"""`kembar submit`: uploads a version of the pipeline, starts a run of it, and can follow the run."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api
import pydantic

from pipeline.config import configuration
from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.config.kubernetes_names import PLACEHOLDER
from pipeline.kubeflow.client import Kfp, KubeflowError
from pipeline.kubeflow.compile import cluster_values, compile_pipeline
from pipeline.kubeflow.run_configuration import Parameters, configure
from trainer.errors import ConfigError, suggestion
from trainer.spec import narrow

POLL_SECONDS = 10.0
TIMED_OUT = "TIMED_OUT"
# A long run must not be called lost because a gateway had a bad minute.
_LOST_AFTER = 6
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_PARAMETERS = pydantic.TypeAdapter(Parameters)


@dataclass(frozen=True)
class Version:
    """A version of a pipeline that KFP has."""

    pipeline: str
    pipeline_id: str
    version: str
    version_id: str
    fresh: bool


def pipeline_name(config: Config) -> str:
    """Return KFP's name of the pipeline, and of its schedule."""
    return config.pipeline.name.replace("_", "-")


def check_parameters(parameters: dict[str, Any], where: str) -> dict[str, Any]:
    """Run parameters with their types; those that are not told are left as compiled.

    Raises:
      ConfigError: there is no such parameter, or its value has the wrong type.
    """
    known = [field.name for field in fields(Parameters)]
    for name in parameters:
        if name not in known:
            fix = suggestion(name, known, f"there are {', '.join(known)}")
            raise ConfigError(f"{where} {name}: no such run parameter: {fix}")
    try:
        values = asdict(_PARAMETERS.validate_python(parameters))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{where} {first['loc'][0]} = {first['input']!r}: {first['msg']}") from None
    values["settings"] = list(values["settings"])
    for name in parameters:
        for text in values[name] if name == "settings" else [values[name]]:
            if isinstance(text, str) and PLACEHOLDER.search(text):
                raise ConfigError(
                    f"{where} {name} = {text!r}: KFP and Kubernetes replace '{{{{', '$(' and '$$' in a "
                    "parameter: write it without, or into the configuration"
                )
    return {name: values[name] for name in parameters}


def parse_parameters(words: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE words; `settings` can be told many times, each a SECTION.KEY=VALUE.

    Raises:
      ConfigError: a word has no '=', a name is not known, or a value has the wrong type.
    """
    parameters: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--param {word}: write NAME=VALUE")
        if name == "settings":
            parameters.setdefault(name, []).append(value)
        else:
            parameters[name] = value
    return check_parameters(parameters, "--param")


def prepare(path: Path, settings: Sequence[str], parameters: dict[str, Any], package: Path) -> Config:
    """Compiles, and checks that a run with these parameters would have a valid configuration.

    Args:
      path: The configuration file.
      settings: `section.key=value` on top of it.
      parameters: Run parameters.
      package: Where the YAML goes.

    Raises:
      ConfigError: the configuration or a parameter is wrong.
    """
    values = cluster_values(path, configuration.read(path, settings))
    config = configure(
        values, Parameters(**{**parameters, "settings": tuple(parameters.get("settings", ()))})
    )
    compile_pipeline(path, settings, package)
    return config


def upload(client: Kfp, name: str, package: Path) -> Version:
    """The version of the pipeline that has these contents: found, or uploaded.

    Raises:
      KubeflowError: KFP refuses it.
    """
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    with client.explained(f"upload pipeline {name}"):
        pipelines = client.find(client.list_pipelines, "pipelines", name, namespace=client.namespace)
        if pipelines:
            pipeline_id = pipelines[0].pipeline_id
        else:
            # kfp's upload_pipeline would make a first version that is called as the pipeline is.
            fresh = kfp_server_api.V2beta1Pipeline(
                name=name, display_name=name, namespace=client.namespace, description="made by kembar"
            )
            pipeline_id = client._pipelines_api.pipeline_service_create_pipeline(fresh).pipeline_id
        versions = client.find(
            client.list_pipeline_versions, "pipeline_versions", digest, pipeline_id=pipeline_id
        )
        if versions:
            return Version(name, pipeline_id, digest, versions[0].pipeline_version_id, fresh=False)
        made = client.upload_pipeline_version(str(package), digest, pipeline_id=pipeline_id)
        return Version(name, pipeline_id, digest, made.pipeline_version_id, fresh=True)


def experiment_id(client: Kfp, cluster: Kubeflow) -> str:
    """The experiment that runs are listed under; made if there is none."""
    with client.explained(f"open experiment {cluster.experiment}"):
        return str(client.create_experiment(cluster.experiment, namespace=client.namespace).experiment_id)


def submit(
    client: Kfp, config: Config, package: Path, parameters: dict[str, Any], say: Callable[[str], None]
) -> tuple[str, str]:
    """Uploads the version if KFP has not got it, and starts a run. Returns the run's name and id."""
    cluster = narrow(config.kubeflow, Kubeflow)
    version = upload(client, pipeline_name(config), package)
    say(f"{version.pipeline}, version {version.version}: {'uploaded' if version.fresh else 'already there'}")
    experiment = experiment_id(client, cluster)
    name = f"{version.pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    with client.explained("start a run"):
        run = client.run_pipeline(
            experiment,
            name,
            params=parameters,
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            service_account=cluster.service_account,
        )
    return name, str(run.run_id)


def follow(
    client: Kfp,
    run_id: str,
    say: Callable[[str], None],
    poll_seconds: float = POLL_SECONDS,
    limit_seconds: float = math.inf,
    end: Callable[[Any, float], None] = lambda run, seconds: None,
) -> str:
    """Waits for a run's end, tells each step's change on the way, and returns the last state.

    Args:
      client: The connection.
      run_id: The run.
      say: Is told what changes.
      poll_seconds: Between two looks.
      limit_seconds: How long it waits at most; the state is TIMED_OUT then.
      end: Is told the run and the seconds when that is over.

    Raises:
      KubeflowError: KFP no longer answers, or knows no such run.
    """
    shown: dict[str, str] = {}
    failures = 0
    started = time.monotonic()
    while True:
        try:
            with client.explained(f"look at run {run_id}"):
                run = client.get_run(run_id)
        except KubeflowError as error:
            failures += 1
            if getattr(error.__cause__, "status", None) in (400, 401, 403, 404) or failures >= _LOST_AFTER:
                raise
            time.sleep(poll_seconds)
            continue
        failures = 0
        for task in (run.run_details and run.run_details.task_details) or []:
            _tell(task, shown, say)
        if run.state in ENDED:
            if run.error is not None and run.error.message:
                say(f"error: {run.error.message}")
            return str(run.state)
        if (seconds := time.monotonic() - started) > limit_seconds:
            end(run, seconds)
            return TIMED_OUT
        time.sleep(poll_seconds)


def _tell(task: Any, shown: dict[str, str], say: Callable[[str], None]) -> None:
    """One line when a step's state has changed. KFP lists its own driver pods too, which say nothing."""
    name = task.display_name or ""
    if not task.state or name.endswith("-driver") or shown.get(task.task_id) == task.state:
        return
    shown[task.task_id] = task.state
    why = f": {task.error.message}" if task.error is not None and task.error.message else ""
    say(f"{name}: {task.state.lower()}{why}")
