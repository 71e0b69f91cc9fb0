"""`kembar schedule`: when the pipeline runs by itself, on this machine or in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline.commands import kubeflow
from pipeline.commands.options import ConfigPath, Folder, Host, Settings, opened
from pipeline.config import configuration
from pipeline.config.configuration import Config
from pipeline.interrupt import handled
from pipeline.scheduling import job as jobs
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, KembarError

app = typer.Typer(help="When the pipeline runs by itself: what [schedule] says.", no_args_is_help=True)

Output = Annotated[
    Path | None,
    typer.Option("--output", help="a folder of files for systemd or cron to work on, and on nothing else"),
]


@app.command("apply")
def apply_schedule(
    config: ConfigPath,
    host: Host = None,
    output: Output = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Make the schedule what [schedule] says; nothing happens if it is so already."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    by = jobs.scheduler_of(loaded)
    if by == "kubeflow":
        _refuse_output(output)
        kubeflow.apply_schedule(config, loaded, settings or (), folder, host, terminal)
        _delete_here(jobs.name_of(loaded), by, terminal)
        return
    from pipeline.scheduling import crontab, systemd

    job = jobs.Job.of(config, loaded, tuple(settings or ()), folder)
    done = (systemd if by == "systemd" else crontab).apply(job, output, terminal.say)
    if output is None:
        _delete_here(job.name, by, terminal)
        if _delete_there(loaded, folder, host, terminal):
            terminal.say("  the one by kubeflow was deleted: two must never run")
    times = f"cron {job.schedule.cron}, {job.schedule.timezone}"
    terminal.result(f"schedule {job.name}: {done}: {by}, {times}")


@app.command("list")
def list_schedules(
    config: ConfigPath,
    host: Host = None,
    output: Output = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """List the schedules of this machine, and of the configuration's namespace in a cluster."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    in_cluster = jobs.scheduler_of(loaded) == "kubeflow"
    if in_cluster:
        with terminal.noise_to(folder.root / "schedule.log"):
            from pipeline.kubeflow import schedules

            recurring = schedules.listing(kubeflow.kfp(loaded, host))
        terminal.table(recurring)
    from pipeline.scheduling import crontab, systemd

    table = Table("Schedule", "By", "Cron", "Time zone", "State", "Next", "Configuration", box=None)
    for row in (*systemd.rows(output), *crontab.rows(output)):
        table.add_row(*row)
    if table.rows or not in_cluster:
        terminal.table(table)


@app.command("delete")
def delete_schedule(
    config: ConfigPath,
    host: Host = None,
    output: Output = None,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Delete the pipeline's schedule; none is no error."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    name = jobs.name_of(loaded)
    if jobs.scheduler_of(loaded) == "kubeflow":
        _refuse_output(output)
        _delete_here(name, "kubeflow", terminal)
        name = loaded.pipeline.name.replace("_", "-")
        deleted = [_delete_recurring(loaded, host, folder.root / "schedule.log", terminal)]
    else:
        from pipeline.scheduling import crontab, systemd

        deleted = [systemd.delete(name, output), crontab.delete(name, output)]
        if output is None:
            deleted.append(_delete_there(loaded, folder, host, terminal))
    terminal.result(f"schedule {name}: {'deleted' if any(deleted) else 'there was none'}")


@app.command("watch")
def watch_schedule(
    config: ConfigPath, host: Host = None, settings: Settings = None, workdir: Folder = None
) -> None:
    """End runs in the cluster that go on beyond [kubeflow] run_timeout_seconds, and tell the webhook."""
    terminal = Terminal()
    loaded, folder = opened(config, settings, workdir)
    with terminal.noise_to(folder.root / "schedule.log"):
        from pipeline.kubeflow import watch

        ended = watch.end_overdue(kubeflow.kfp(loaded, host), loaded, terminal.say)
    terminal.result(f"runs of {loaded.pipeline.name}: {ended or 'none'} ended")


@app.command("run")
def run_schedule(config: ConfigPath, settings: Settings = None, workdir: Folder = None) -> None:
    """Keep the schedule in the foreground, for a container: `kembar retrain` at each of its times."""
    from pipeline.scheduling.loop import STATE, Loop, say

    loaded = configuration.load(config, settings or ())
    section = jobs.section_of(loaded)
    if jobs.scheduler_of(loaded) == "kubeflow":
        raise ConfigError(
            f'{config}: [schedule] by: the cluster keeps this schedule: set by = "cron" to do it here'
        )
    if not section.enabled:
        raise ConfigError(
            f"{config}: [schedule] enabled = false: there is nothing to wait for: set it to true"
        )
    folder = Workdir.of(loaded, workdir)
    command = jobs.retrain(config, tuple(settings or ()), folder)
    loop = Loop(command, section.cron, section.timezone, folder.root / STATE, say)
    with handled(lambda *_: loop.stop()):
        loop.run()
    say("ended")


def _refuse_output(output: Path | None) -> None:
    """Raises ConfigError for a folder of files where the schedule is a recurring run in a cluster."""
    if output is not None:
        raise ConfigError(
            f"--output {output}: is for the files of systemd and cron, and this schedule is Kubeflow's: "
            "leave it out, or set [schedule] by"
        )


def _delete_here(name: str, by: str, terminal: Terminal) -> None:
    """Deletes what others than `by` have of the pipeline on this machine; files of others stay."""
    from pipeline.scheduling import crontab, systemd

    for other, scheduler in (("cron", crontab), ("systemd", systemd)):
        if by != other and scheduler.is_there(name) and scheduler.delete(name, None):
            terminal.say(f"  the one by {other} was deleted: two must never run")
            if scheduler is systemd and not systemd.is_reachable():
                stop = f"systemctl --user stop {name}.timer"
                terminal.say(f"  no systemd of this user answers here; once one does: {stop}")


def _delete_recurring(config: Config, host: str | None, log: Path, terminal: Terminal) -> bool:
    """Deletes the pipeline's recurring run; whether there was one."""
    with terminal.noise_to(log):
        from pipeline.kubeflow import schedules

        return schedules.delete(kubeflow.kfp(config, host), config) > 0


def _delete_there(config: Config, folder: Workdir, host: str | None, terminal: Terminal) -> bool:
    """Deletes the pipeline's recurring run, if a cluster is known; whether there was one."""
    if config.kubeflow is None:
        return False
    try:
        # Not schedule.log: there the entry of cron writes.
        return _delete_recurring(config, host, folder.root / "submit.log", terminal)
    except KembarError as error:
        terminal.say(
            f"  warning: {error}; one may still run there: to delete it call this again once it answers"
        )
        return False
