"""The command line, `kembar` or `python -m pipeline`. Each command's work is in a module of its own."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import config as configuration
from pipeline.commands import serving
from pipeline.commands.options import ConfigPath, Folder, Settings
from pipeline.config import Config
from pipeline.terminal import Terminal, progress_to_stdout
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, KembarError

if TYPE_CHECKING:
    from pipeline.runners.client import Kfp

app = typer.Typer(
    name="kembar",
    help="Text-pair models and variational autoencoders: trained, gated, versioned and served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(serving.app)


@app.command()
def run(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """Run the whole pipeline here: ingest, validate, train, evaluate, gate, push."""
    from pipeline.run import run as run_pipeline

    loaded = configuration.load(config, settings or ())
    raise typer.Exit(run_pipeline(config, loaded, Workdir.of(loaded, workdir), Terminal()))


@app.command()
def versions(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """List the versions that were pushed, and which one is in service."""
    from pipeline.versions import show

    loaded = configuration.load(config, settings or ())
    show(Workdir.of(loaded, workdir), Terminal())


@app.command()
def rollback(
    config: ConfigPath,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="default: the one before; latest: lift the pin"),
    ] = None,
    canary: Annotated[int | None, typer.Option(help="a version to load beside it, by that label")] = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Put an earlier version in service by pinning it, or the newest again; nothing is deleted."""
    from pipeline.versions import rollback as roll_back

    loaded = configuration.load(config, settings or ())
    roll_back(Workdir.of(loaded, workdir), loaded.pipeline.name, to, canary, Terminal())


@app.command()
def gc(
    config: ConfigPath,
    keep: Annotated[int, typer.Option(min=0, help="newest runs of which everything stays")] = 10,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only print what would go, and how much")
    ] = False,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Remove artifacts, checkpoints and versions that nothing needs any more."""
    from pipeline.gc import collect

    loaded = configuration.load(config, settings or ())
    collect(Workdir.of(loaded, workdir), keep, loaded.serving.keep_versions, dry_run, Terminal())


@app.command()
def report(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """Write the last run's report.html again: one page that needs no network."""
    terminal = Terminal()
    loaded = configuration.load(config, settings or ())
    folder = Workdir.of(loaded, workdir)
    with terminal.noise_to(folder.root / "report.log"):
        from pipeline.report import write_report

        path = write_report(loaded, folder)
    terminal.result(str(path))


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
    settings: Settings = None,
) -> None:
    """Write the pipeline for Kubeflow Pipelines v2: IR 2.1 with the Kubernetes platform document."""
    terminal = Terminal()
    with terminal.noise_to(output.absolute().with_suffix(".log")):
        if target is Target.VERTEX:
            from pipeline.runners.vertex import compile_pipeline
        else:
            from pipeline.runners.kubeflow import compile_pipeline

        compile_pipeline(config, settings or (), output)
    terminal.result(f"{output}: {output.stat().st_size:,} bytes")


Host = Annotated[str | None, typer.Option(help="address of KFP; default: [kubeflow] host")]


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
    folder = Workdir.of(configuration.load(config, settings or ()), workdir)
    with terminal.noise_to(folder.root / "submit.log"):
        from pipeline.runners import submit as submitting

        told = submitting.parse_parameters(parameters or ())
        package = folder.root / "pipeline.yaml"
        loaded = submitting.prepare(config, settings or (), told, package)
        client = _kfp(loaded, host)
        name, run_id = submitting.submit(client, loaded, package, told, terminal.say)
        terminal.result(f"run {name}: {run_id}")
        if wait:
            state = submitting.follow(client, run_id, terminal.say)
            terminal.result(f"run {name}: {state.lower()}")
            raise typer.Exit(0 if state == "SUCCEEDED" else 1)


schedules_app = typer.Typer(
    help="The recurring run of the pipeline on Kubeflow Pipelines.", no_args_is_help=True
)
app.add_typer(schedules_app, name="schedule")


@schedules_app.command("apply")
def apply_schedule(
    config: ConfigPath, host: Host = None, settings: Settings = None, workdir: Folder = None
) -> None:
    """Make the schedule what [schedule] says; nothing happens if it is so already."""
    terminal = Terminal()
    loaded = configuration.load(config, settings or ())
    folder = Workdir.of(loaded, workdir)
    with terminal.noise_to(folder.root / "schedule.log"):
        from pipeline.runners import schedules
        from pipeline.runners import submit as submitting

        section = schedules.section_of(loaded)
        told = submitting.check_parameters(section.parameters, f"{config}: [schedule.parameters]")
        package = folder.root / "pipeline.yaml"
        submitting.prepare(config, settings or (), told, package)
        client = _kfp(loaded, host)
        version = submitting.upload(client, submitting.pipeline_name(loaded), package)
        done = schedules.apply(client, loaded, section, told, version)
    terminal.result(f"schedule {version.pipeline}: {done}: cron {section.cron}, version {version.version}")


@schedules_app.command("list")
def list_schedules(
    config: ConfigPath, host: Host = None, settings: Settings = None, workdir: Folder = None
) -> None:
    """List the schedules in the configuration's namespace."""
    terminal = Terminal()
    loaded = configuration.load(config, settings or ())
    with terminal.noise_to(Workdir.of(loaded, workdir).root / "schedule.log"):
        from pipeline.runners import schedules

        table = schedules.listing(_kfp(loaded, host))
    terminal.table(table)


@schedules_app.command("delete")
def delete_schedule(
    config: ConfigPath, host: Host = None, settings: Settings = None, workdir: Folder = None
) -> None:
    """Delete the pipeline's schedule; none is no error."""
    terminal = Terminal()
    loaded = configuration.load(config, settings or ())
    with terminal.noise_to(Workdir.of(loaded, workdir).root / "schedule.log"):
        from pipeline.runners import schedules

        gone = schedules.delete(_kfp(loaded, host), loaded)
    terminal.result(
        f"schedule {loaded.pipeline.name.replace('_', '-')}: {'deleted' if gone else 'there was none'}"
    )


def _kfp(config: Config, host: str | None) -> Kfp:
    from pipeline.runners.client import Kfp

    if config.kubeflow is None:
        raise ConfigError("[kubeflow] is missing: add it with image and volume_claim")
    return Kfp(config.kubeflow.model_copy(update={"host": host}) if host else config.kubeflow)


schema_app = typer.Typer(help="The schema that the data has to fit.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")


@schema_app.command("infer")
def infer_schema(
    config: ConfigPath,
    output: Annotated[
        Path | None, typer.Option("--output", help="a new file; default: standard output")
    ] = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Propose a schema for the data, commented, as [data] schema_file takes it."""
    terminal = Terminal()
    loaded = configuration.load(config, settings or ())
    with terminal.noise_to(Workdir.of(loaded, workdir).root / "schema.log"):
        from pipeline.schema import infer

        text = infer(str(config), loaded, output)
    terminal.result(text.rstrip() if output is None else f"{output}: set [data] schema_file to it")


@app.command(hidden=True)
def step(
    node: Annotated[str, typer.Option(help="the component")],
    run_id: Annotated[str, typer.Option(help="the run that the step belongs to")],
    config_json: Annotated[str, typer.Option(help="the compiled configuration")],
    data_path: Annotated[str, typer.Option(help="the file or folder of the data, if not as compiled")] = "",
    epochs: Annotated[float, typer.Option(help="if not as compiled; KFP has no integers")] = 0,
    settings: Annotated[str, typer.Option(help="SECTION.KEY=VALUE strings as a JSON list")] = "[]",
    force: Annotated[str, typer.Option(help="true: nothing out of the cache")] = "false",
    gpus: Annotated[int, typer.Option(help="fail where fewer are visible")] = 0,
    executor_input: Annotated[str | None, typer.Option(help="what KFP tells a container, as JSON")] = None,
) -> None:
    """Run one step of a compiled pipeline: what the containers do."""
    from pipeline.runners.step import Parameters, parse_json, run_step

    told = Parameters(
        data_path, int(epochs), tuple(parse_json("--settings", settings, list)), force == "true"
    )
    values = parse_json("--config-json", config_json, dict)
    progress_to_stdout()
    raise typer.Exit(run_step(node, values, run_id, told, executor_input, gpus))


@app.command()
def doctor() -> None:
    """Check this machine: versions, native libraries, disk, GPU."""
    from pipeline.doctor import examine

    raise typer.Exit(examine(Terminal()))


def main() -> None:
    """Runs a command and leaves with its exit code.

    TensorFlow Transform can crash in the interpreter's last garbage collection, so the process ends
    without one.
    """
    try:
        status = app(standalone_mode=False) or 0
    except KembarError as error:
        print(f"kembar: error: {error}", file=sys.stderr)  # noqa: T201
        status = error.exit_code
    except typer.Exit as leave:
        status = leave.exit_code
    except typer.Abort:
        print("kembar: stopped", file=sys.stderr)  # noqa: T201
        status = 1
    except Exception as error:  # noqa: BLE001 - the process must not leave by the interpreter's own exit
        status = _usage_error(error)
        if status is None:
            traceback.print_exc()
            status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _usage_error(error: Exception) -> int | None:
    """Shows click's own errors its way; None for anything else."""
    show = getattr(error, "show", None)
    if show is None:
        return None
    show()
    return int(getattr(error, "exit_code", 2))


if __name__ == "__main__":
    main()
