"""Commands for Kubeflow Pipelines: compile and submit, and what `kembar schedule` does there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.options import ConfigPath, Folder, Host, Settings, opened
from pipeline.config import configuration
from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.outputs import check_not_read, is_special
from pipeline.scheduling.job import section_of
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError
from trainer.spec import narrow

if TYPE_CHECKING:
    from pipeline.kubeflow.client import Kfp

app = typer.Typer()


class Target(StrEnum):
    """Where a compiled pipeline runs."""

    KUBEFLOW = "kubeflow"
    VERTEX = "vertex"


@app.command("compile")
def compile_(
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", help="the YAML file")] = Path("pipeline.yaml"),
    target: Annotated[
        Target, typer.Option(help="vertex: Google's managed service, by TFX's own runner")
    ] = Target.KUBEFLOW,
    check: Annotated[
        bool, typer.Option("--check", help="say what was checked: pods, sizes, names, versions")
    ] = False,
    settings: Settings = None,
) -> None:
    """Write the pipeline for Kubeflow Pipelines v2: IR 2.1 with the Kubernetes platform document."""
    if check and target is Target.VERTEX:
        raise ConfigError("--check: is for Kubeflow, the managed service makes its pods itself: leave it out")
    terminal = Terminal()
    if output.is_dir() or not output.name:
        raise ConfigError(f"--output {output}: is a folder: name a file in it")
    loaded = configuration.load(config, settings or ())
    check_not_read(output, config, loaded.data)
    log = Path(os.devnull) if is_special(output) else output.absolute().with_suffix(".log")
    with terminal.noise_to(log):
        if target is Target.VERTEX:
            from pipeline.kubeflow.vertex import compile_pipeline
        else:
            from pipeline.kubeflow.compile import compile_pipeline

        text = compile_pipeline(config, settings or (), output)
    warn(loaded, terminal)
    if check:
        from pipeline.kubeflow import check_ir, pods

        for line in pods.describe(check_ir.documents_of(text)):
            terminal.result(line)
    terminal.result(f"{output}: {len(text.encode()):,} bytes")


def warn(config: Config, terminal: Terminal) -> None:
    """Says what works in a cluster and is not what one wants there."""
    if config.kubeflow is not None and config.kubeflow.database is None:
        terminal.say(
            "  warning: ML Metadata is a SQLite file on the volume: network file systems lock files badly; "
            "steps run one after the other, and two runs at once break it: set [kubeflow] database"
        )


@app.command()
def submit(
    config: ConfigPath,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="data_path, epochs, settings, force; repeatable"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="follow the run, and fail if it fails")] = False,
    host: Host = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Upload a version of the pipeline to Kubeflow Pipelines, and start a run."""
    terminal = Terminal()
    _, folder = opened(config, settings, workdir)
    with terminal.noise_to(folder.root / "submit.log"):
        from pipeline.kubeflow import submit as submitting

        run_parameters = submitting.parse_parameters(parameters or ())
        package = folder.root / "pipeline.yaml"
        loaded = submitting.prepare(config, settings or (), run_parameters, package)
        warn(loaded, terminal)
        client = kfp(loaded, host)
        name, run_id = submitting.submit(client, loaded, package, run_parameters, terminal.say)
        terminal.result(f"run {name}: {run_id}")
        if wait:
            from pipeline.kubeflow import watch

            limit = narrow(loaded.kubeflow, Kubeflow).run_timeout_seconds
            state = submitting.follow(
                client, run_id, terminal.say, limit_seconds=limit,
                end=lambda run, seconds: watch.end(client, loaded, run, seconds, terminal.say),
            )  # fmt: skip
            terminal.result(f"run {name}: {state.lower()}")
            raise typer.Exit(0 if state == "SUCCEEDED" else 1)


def apply_schedule(
    path: Path, config: Config, settings: Sequence[str], folder: Workdir, host: str | None, terminal: Terminal
) -> None:
    """Makes the recurring run in the cluster what [schedule] says."""
    with terminal.noise_to(folder.root / "schedule.log"):
        from pipeline.kubeflow import schedules
        from pipeline.kubeflow import submit as submitting

        section = section_of(config)
        run_parameters = submitting.check_parameters(section.parameters, f"{path}: [schedule.parameters]")
        package = folder.root / "pipeline.yaml"
        submitting.prepare(path, settings, run_parameters, package)
        client = kfp(config, host)
        version = submitting.upload(client, submitting.pipeline_name(config), package)
        done = schedules.apply(client, config, section, run_parameters, version)
    if section.timezone != "UTC":
        terminal.say(
            "  KFP goes by the time zone of its controller: CRON_SCHEDULE_TIMEZONE there has to be "
            f"{section.timezone}"
        )
    warn(config, terminal)
    for line in schedules.warnings(config):
        terminal.say(f"  {line}")
    terminal.result(f"schedule {version.pipeline}: {done}: cron {section.cron}, version {version.version}")


def kfp(config: Config, host: str | None) -> Kfp:
    """The connection to the cluster of a configuration; `host` takes the place of the one in there.

    Raises:
      ConfigError: no cluster is known.
      KubeflowError: it cannot be reached.
    """
    from pipeline.kubeflow.client import Kfp

    if config.kubeflow is None:
        raise ConfigError("[kubeflow] is missing: add it with image and volume_claim")
    return Kfp(config.kubeflow.model_copy(update={"host": host}) if host else config.kubeflow)
