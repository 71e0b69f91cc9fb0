"""`kembar step`: one step of a run, in a process of its own. It is what the containers of a cluster run.

All steps of a run get the same: the configuration that was compiled, the run's id and parameters. Each
builds the same graph from it and launches one node, against one metadata database and one folder.
"""

from __future__ import annotations

import errno
import os
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow import run_configuration
from pipeline.kubeflow.records import CONCLUDE, RUN, RUNNING, Records
from pipeline.kubeflow.run_configuration import Parameters, configure, root_of
from pipeline.kubeflow.settling import settle_runs
from pipeline.kubeflow.step_end import end_step, say_why, tell
from pipeline.runs.run import Run
from pipeline.store.database import open_ledger
from pipeline.store.leftovers import forget_incomplete
from pipeline.store.outcome import FILE as SUMMARY
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, KembarError
from trainer.spec import narrow

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher

_BY_HAND = "a run was asked for"
_NEVER_STARTED = (
    "the first step never started, and the cluster does not tell this task why: look at its pod: the image's "
    "name and pull secret, a node that has what it asks for, the claim"
)


@dataclass(frozen=True)
class StepCall:
    """A step of a run that a container is to do.

    Attributes:
      node: The component, or `CONCLUDE`.
      run_id: The run.
      parameters: Of the run.
      executor_input: What KFP tells a container.
      gpus: How many have to be visible.
    """

    node: str
    run_id: str
    parameters: Parameters = field(default_factory=Parameters)
    executor_input: str | None = None
    gpus: int = 0


def run_command(call: StepCall, root: Path, packed: str | None) -> int:
    """Runs one step of the run whose configuration is `packed`, or else published below `root`."""
    try:
        records = Records.of(root, call.run_id)
        values = records.read(run_configuration.RECORD)
        if values is None and packed is not None:
            values = run_configuration.unpack(packed)
            if call.node == CONCLUDE:
                return _conclude_unstarted(root, values, call.run_id)
            _check_volume(root)
            records.write(run_configuration.RECORD, values)
    except KembarError as error:
        say_why(str(error))
        return error.exit_code
    if values is None:
        say_why(f"{records.folder}: no configuration: the run's first step writes it: do all see one volume?")
        return ConfigError.exit_code
    return run_step(call, values)


def _conclude_unstarted(root: Path, values: dict[str, Any], run_id: str) -> int:
    """Tells of a run of which no step has come so far as to write down its configuration."""
    from pipeline.kubeflow.conclude import tell_failure

    reason = _NEVER_STARTED
    try:
        _check_volume(root)
    except ConfigError as error:
        reason = str(error)
    tell_failure(values, root, run_id, reason)
    say_why(reason)
    return 0


def run_step(call: StepCall, values: dict[str, Any]) -> int:
    """Runs one step and returns its exit code: 0, or as `kembar run` would end for the same reason."""
    try:
        return _run_step(call, configure(values, call.parameters))
    except KembarError as error:
        failure: Exception = error
        reason, status = str(error), error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads one line
        traceback.print_exc()
        failure = error
        reason, status = f"{call.node}: {type(error).__name__}: {' '.join(str(error).split())}", 1
    # Not by `root_of`: what this run's parameters make of the configuration may be what is wrong.
    root = Kubeflow.model_validate(values["kubeflow"]).root(values["pipeline"]["name"])
    if call.node == CONCLUDE:
        from pipeline.kubeflow.conclude import tell_failure

        tell_failure(values, root, call.run_id, reason)
    else:
        # A step without a record is one whose container never started. The volume may be what is wrong.
        with suppress(OSError, ConfigError):
            Records.of(root, call.run_id).write_step(StepResult(call.node, FAILED, error=failure))
    say_why(reason)
    return status


def _run_step(call: StepCall, config: Config) -> int:
    _check_volume(root_of(config))
    workdir, node, force = Workdir.of(config, root_of(config)), call.node, call.parameters.force
    records = Records.of(workdir.root, call.run_id)
    if node != CONCLUDE and records.is_over:
        records.write_step(StepResult(node, SKIPPED))
        tell(f"{node}: left out: nothing is to be trained")
        return 0
    ledger = open_ledger(narrow(config.kubeflow, Kubeflow).database, workdir, config.pipeline.name)
    run = records.read_run(config, workdir, ledger, cached=not force)
    launcher = run.launcher(run.plan)
    if node == CONCLUDE:
        from pipeline.kubeflow.conclude import conclude

        conclude(run, records, launcher, call.executor_input)
        return 0
    if node not in launcher.node_ids:
        raise ConfigError(f"--node {node}: there are {', '.join([*launcher.node_ids, CONCLUDE])}")
    records.write(node, {"state": RUNNING, "host": os.uname().nodename})
    try:
        if node == launcher.node_ids[0]:
            run = _decide(run, records, _BY_HAND if config.retraining is None or force else None, launcher)
            launcher = run.launcher(run.plan)
        step = _launch(node, launcher, records, call.gpus)
    except Exception as error:  # noqa: BLE001 - the record says that it works, and has to say why it does not
        step = StepResult(node, FAILED, error=error)
    status = end_step(step, run, records, launcher, call.executor_input)
    if step.state == FAILED or node == launcher.node_ids[-1]:
        _conclude_again(run, records, launcher)
    return status


def _decide(run: Run, records: Records, requested: str | None, launcher: Launcher) -> Run:
    """Put the volume in order, decide what the run does, read new spans but the newest, write it down.

    A second try finds the record and changes nothing.

    Raises:
      ConfigError: a file is missing; no span is complete.
      KembarError: a span that came before could not be read.
    """
    config, workdir, ledger = run.config, run.workdir, run.ledger
    preflight("[kubeflow] or this run's parameters", config)
    forget_incomplete(ledger.store, tell)
    settle(ledger.store, workdir.serving, tell)
    settle_runs(config, workdir, ledger, but=run.start.run_id, tell=True)
    if records.read(RUN) is None:
        run = Run.decide(config, workdir, ledger, run.start, requested, run.cached)
        if run.idle is None:
            if not run.read_backlog(tell):
                raise next(step.error for step in run.steps if step.error is not None)
            run.plan = run.make_plan(run.newest)
        records.write_run(run, launcher.node_ids[-1])
    return run


def _conclude_again(run: Run, records: Records, launcher: Launcher) -> None:
    """Sums up anew a run that was summed up before: KFP's Retry keeps an exit task that has succeeded.

    What goes wrong here is not the step's failure: whoever asks later sums the run up.
    """
    from pipeline.kubeflow.conclude import conclude

    if (records.folder / SUMMARY).is_file():
        try:
            conclude(run, records, launcher, None)
        except Exception as error:  # noqa: BLE001 - the step has ended as it did
            traceback.print_exc()
            tell(f"the run cannot be summed up: {' '.join(str(error).split())}")


def _launch(node: str, launcher: Launcher, records: Records, gpus: int) -> StepResult:
    """The node, or nothing where the first step has found that there is nothing to do."""
    from trainer.fitting.devices import require_gpus

    if records.is_over:
        return StepResult(node, SKIPPED)
    if gpus:
        require_gpus(gpus)
    launcher.clear_leftovers(node)
    return launcher.launch(node)


def _check_volume(root: Path) -> None:
    """Makes the folder of all runs.

    Raises:
      ConfigError: this user cannot write there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ConfigError(
            f"[kubeflow] cannot write in {root}: {error.strerror}: user {os.getuid()} of the image has to be "
            "able to write in the volume"
        ) from None
