"""The commands of `kembar`. Each one's work is in a module of its own."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import kubeflow, schedule, serving
from pipeline.commands.options import ConfigPath, Folder, Settings, opened
from pipeline.interrupt import Interrupted
from pipeline.outputs import check_not_read
from pipeline.terminal import Terminal, printable, progress_to_stdout
from trainer.errors import KembarError

app = typer.Typer(
    name="kembar",
    help="Text-pair models and variational autoencoders: trained, gated, versioned and served.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # in "rich" a section such as [schedule] is markup, and not shown
    pretty_exceptions_enable=False,
)

app.add_typer(serving.app)
app.add_typer(kubeflow.app)
app.add_typer(schedule.app, name="schedule")


@app.command()
def run(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """Run the whole pipeline here: ingest, validate, train, evaluate, gate, push."""
    from pipeline.commands import propose

    if propose.is_data(config):
        propose.offer(config, Terminal())
        return
    from pipeline.runs.local import run_pipeline

    loaded, folder = opened(config, settings, workdir)
    raise typer.Exit(run_pipeline(config, loaded, folder, Terminal(), "asked for by kembar run"))


@app.command()
def retrain(
    config: ConfigPath,
    force: Annotated[bool, typer.Option("--force", help="train without a reason")] = False,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """One scheduled step: look for a reason to train, train where there is one, say why."""
    from pipeline.runs.local import run_pipeline

    loaded, folder = opened(config, settings, workdir)
    requested = "asked for by --force" if force else None
    raise typer.Exit(run_pipeline(config, loaded, folder, Terminal(), requested))


@app.command()
def history(
    config: ConfigPath,
    last: Annotated[int, typer.Option(min=1, help="decisions shown, the newest")] = 30,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """List what was decided when and why: runs, retrainings, and days with nothing to do."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    with terminal.noise_to(folder.root / "history.log"):
        from pipeline.kubeflow.settling import settled_entries
        from pipeline.runs.history import show

        show(loaded, folder, settled_entries(loaded, folder)[-last:], terminal)


@app.command()
def versions(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """List the versions that were pushed, and which one is in service."""
    from pipeline.store.versions import show

    show(opened(config, settings, workdir)[1], Terminal())


@app.command()
def rollback(
    config: ConfigPath,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="default: the one before; latest: lift the pin"),
    ] = None,
    canary: Annotated[int | None, typer.Option(help="a version to load beside it, by that label")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="seconds in which TF Serving loads it before labels move")
    ] = 0.0,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Put an earlier version in service by pinning it, or the newest again; nothing is deleted."""
    from pipeline.store.versions import rollback as roll_back

    loaded, folder = opened(config, settings, workdir)
    roll_back(folder, loaded.pipeline.name, to, canary, Terminal(), loaded.serving.mirror, wait)


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
    from pipeline.runs.gc import collect

    collect(*opened(config, settings, workdir), keep, dry_run, Terminal())


@app.command()
def report(
    config: ConfigPath,
    output: Annotated[
        Path | None, typer.Option("--output", help="default: report.html in the work folder")
    ] = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Write the last run's report.html again: one page that needs no network."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    check_not_read(output, config, loaded.data)
    with terminal.noise_to(folder.root / "report.log"):
        from pipeline.kubeflow.settling import settled_entries
        from pipeline.runs.report import put_report

        put_report(loaded, folder, settled_entries(loaded, folder), output, terminal)


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
    loaded, folder = opened(config, settings, workdir)
    check_not_read(output, config, loaded.data)
    with terminal.noise_to(folder.root / "schema.log"):
        from pipeline.runs.schema import infer

        text = infer(str(config), loaded, output)
    terminal.result(text.rstrip() if output is None else f"{output}: set [data] schema_file to it")


@app.command(hidden=True)
def step(
    node: Annotated[str, typer.Option(help="the component")],
    run_id: Annotated[str, typer.Option(help="the run that the step belongs to")],
    root: Annotated[Path, typer.Option(help="the folder that all steps see")],
    config: Annotated[
        str | None, typer.Option(help="the configuration as compiled, for the first step")
    ] = None,
    data_path: Annotated[str, typer.Option(help="the file or folder of the data, if not as compiled")] = "",
    epochs: Annotated[float, typer.Option(help="if not as compiled; KFP has no integers")] = 0,
    settings: Annotated[str, typer.Option(help="SECTION.KEY=VALUE strings as a JSON list")] = "[]",
    force: Annotated[str, typer.Option(help="true: nothing out of the cache")] = "false",
    gpus: Annotated[int, typer.Option(help="fail where fewer are visible")] = 0,
    executor_input: Annotated[str | None, typer.Option(help="what KFP tells a container, as JSON")] = None,
) -> None:
    """Run one step of a compiled pipeline: what the containers do."""
    from pipeline.kubeflow.run_configuration import Parameters, parse_json
    from pipeline.kubeflow.step import StepCall, run_command

    parameters = Parameters(
        data_path, int(epochs), tuple(parse_json("--settings", settings, list)), force == "true"
    )
    progress_to_stdout()
    raise typer.Exit(run_command(StepCall(node, run_id, parameters, executor_input, gpus), root, config))


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="look at the versions of this pipeline too")
    ] = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Check this machine: packages, native libraries, disk, GPU; and whether versions are what was pushed."""
    from pipeline.doctor import examine

    raise typer.Exit(examine(Terminal(), None if config is None else opened(config, settings, workdir)[1]))


def main() -> None:
    """Runs a command and leaves with its exit code.

    TensorFlow Transform can crash in the interpreter's last garbage collection, so the process ends
    without one.
    """
    _open_all()
    status = _status()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:  # nobody reads on, or the disk is full
            status = status or _system_error(error)
    os._exit(status)


def _status() -> int:
    """Runs the command; whatever a user did wrong ends as one line."""
    try:
        os.getcwd()
    except OSError:
        return _failed("the current folder is gone: change to one that is there", 2)
    try:
        return app(prog_name="kembar", standalone_mode=False) or 0
    except KembarError as error:
        return _failed(str(error), error.exit_code)
    except typer.Exit as leave:
        return leave.exit_code
    except Interrupted as stop:
        _say(f"kembar: interrupted: {stop}")
        return stop.exit_code
    except typer.Abort:
        _say("kembar: stopped")
        return 1
    except OSError as error:
        return _system_error(error)
    except SystemExit:  # click's own end where nobody reads what is written
        return 1
    except Exception as error:  # noqa: BLE001 - the process must not leave by the interpreter's own exit
        status = _usage_error(error)
        if status is None:
            _say(traceback.format_exc().rstrip(), lines=True)
        return 1 if status is None else status


def _failed(reason: str, status: int) -> int:
    _say(f"kembar: error: {reason}")
    return status


def _system_error(error: OSError) -> int:
    """One line for what the system refuses; nothing where nobody reads what is written."""
    if isinstance(error, BrokenPipeError):
        return 1
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return _failed(": ".join([*names, error.strerror or str(error) or type(error).__name__]), 1)


def _usage_error(error: Exception) -> int | None:
    """Says what click found wrong with the arguments; None for anything else."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    message, context = str(format_message()), getattr(error, "ctx", None)
    if message:  # else the help was shown, because there are no arguments
        command = context.command_path if context else "kembar"
        _failed(f"{message.rstrip('.')}: see `{command} --help`", 2)
    return int(getattr(error, "exit_code", 2))


def _say(text: str, lines: bool = False) -> None:
    try:
        print(printable(text, lines=lines), file=sys.stderr)  # noqa: T201
    except OSError:
        return


def _open_all() -> None:
    """Gives standard input, output and error that are closed to nobody, so that no file takes their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
