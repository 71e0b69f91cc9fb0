"""`kembar step`: one step of a run, in a process of its own. It is what the containers of a cluster run.

All steps of a run are told the same: the configuration that was compiled, the run's id and parameters. Each
builds the same graph from it and launches one node, against one metadata database and one folder.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.config import configuration
from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow import run_configuration
from pipeline.kubeflow.first_step import is_over, plan_of, plan_run
from pipeline.kubeflow.records import RUNNING, Records
from pipeline.kubeflow.settling import settle_runs
from pipeline.kubeflow.step_end import end_step, say_why, tell
from pipeline.store.database import connection
from pipeline.store.leftovers import forget_incomplete
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, KembarError
from trainer.spec import narrow

if TYPE_CHECKING:
    from pipeline.graph.plan import Plan
    from pipeline.runs.launch import Launcher
    from pipeline.store.ledger import Ledger

CONCLUDE = "Conclude"
_NEVER_STARTED = (
    "the first step never started, and the cluster does not tell this task why: look at its pod: the image's "
    "name and pull secret, a node that has what it asks for, the claim"
)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run, which change without compiling again."""

    data_path: str = ""
    epochs: int = 0
    settings: tuple[str, ...] = ()
    force: bool = False


def parse_json(option: str, text: str, kind: type) -> Any:
    """An option's JSON, which has to be of one kind.

    Raises:
      ConfigError: it is not.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{option} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise ConfigError(f"{option} = {text[:80]}: a JSON {kind.__name__} is wanted")
    return value


def configure(values: dict[str, Any], parameters: Parameters) -> Config:
    """The configuration of a run: what was compiled, and the run's parameters on top.

    Raises:
      ConfigError: a parameter is wrong.
    """
    values = copy.deepcopy(values)
    mount = Path(narrow(Kubeflow.model_validate(values["kubeflow"]), Kubeflow).mount_path)
    if parameters.data_path:
        _move_data(values["data"], mount / parameters.data_path)
    if parameters.epochs:
        values.setdefault("training", {})["epochs"] = parameters.epochs
    configuration.lay_over(values, configuration.settings_table(parameters.settings, mount))
    return configuration.validate(values, "the compiled pipeline with this run's parameters")


def _move_data(data: dict[str, Any], data_path: Path) -> None:
    """Puts the file `data_path` for `path`, or the files of that folder for `train`, `eval` and `test`."""
    if data.get("pattern"):
        raise ConfigError(
            f"data_path = {str(data_path)!r}: [data] pattern says where the spans are: "
            "put data.pattern=... into the run parameter settings"
        )
    if data.get("path"):
        data["path"] = str(data_path)
        return
    for split in ("train", "eval", "test"):
        written = data.get(split)
        if isinstance(written, list):
            data[split] = [str(data_path / PurePosixPath(path).name) for path in written]
        elif written:
            data[split] = str(data_path / PurePosixPath(written).name)


def run_command(
    node: str,
    root: Path,
    packed: str | None,
    run_id: str,
    parameters: Parameters,
    executor_input: str | None,
    gpus: int,
) -> int:
    """Runs one step of the run whose configuration is `packed`, or else published below `root`."""
    try:
        records = Records.of(root, run_id)
        values = run_configuration.read_published(records)
        if values is None and packed is not None:
            values = run_configuration.unpack(packed)
            if node == CONCLUDE:
                return _conclude_unstarted(root, values, run_id)
            _check_volume(root)
            run_configuration.publish(records, values)
    except KembarError as error:
        say_why(str(error))
        return error.exit_code
    if values is None:
        say_why(f"{records.folder}: no configuration: the run's first step writes it: do all see one volume?")
        return ConfigError.exit_code
    return run_step(node, values, run_id, parameters, executor_input, gpus)


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


def run_step(
    node: str,
    values: dict[str, Any],
    run_id: str,
    parameters: Parameters,
    executor_input: str | None,
    gpus: int,
) -> int:
    """Runs one step and returns its exit code: 0, or as `kembar run` would end for the same reason."""
    try:
        config = configure(values, parameters)
        return _run_step(node, config, run_id, parameters.force, executor_input, gpus)
    except KembarError as error:
        failure: Exception = error
        reason, status = str(error), error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads one line
        traceback.print_exc()
        failure = error
        reason, status = f"{node}: {type(error).__name__}: {' '.join(str(error).split())}", 1
    root = root_in(values)
    if node == CONCLUDE:
        from pipeline.kubeflow.conclude import tell_failure

        tell_failure(values, root, run_id, reason)
    else:
        # A step without a record is one whose container never started. The volume may be what is wrong.
        with suppress(OSError, ConfigError):
            Records.of(root, run_id).write_step(StepResult(node, FAILED, error=failure))
    say_why(reason)
    return status


def _run_step(
    node: str, config: Config, run_id: str, force: bool, executor_input: str | None, gpus: int
) -> int:
    cluster = narrow(config.kubeflow, Kubeflow)
    _check_volume(root_of(config))
    workdir = Workdir.of(config, root_of(config))
    records = Records.of(workdir.root, run_id)
    if node != CONCLUDE and is_over(records):
        records.write_step(StepResult(node, SKIPPED))
        tell(f"{node}: left out: nothing is to be trained")
        return 0
    # Here and not above: it takes seconds, and a wrong parameter should not.
    from pipeline.graph import pipeline as graph
    from pipeline.runs.launch import Launcher
    from pipeline.store.ledger import Ledger

    database = connection(cluster.database, workdir)

    def launcher_of(plan: Plan, name: str = "") -> Launcher:
        built = graph.build(config, workdir.artifacts, database, workdir.serving, cached=not force, plan=plan)
        return Launcher(built, f"{run_id}-{name}" if name else run_id)

    launcher = launcher_of(plan_of(records))
    launcher.check_database()
    ledger = Ledger(database, config.pipeline.name)
    if node == CONCLUDE:
        from pipeline.kubeflow.conclude import conclude

        return conclude(config, workdir, launcher, records, ledger, executor_input)
    if node not in launcher.node_ids:
        raise ConfigError(f"--node {node}: there are {', '.join([*launcher.node_ids, CONCLUDE])}")
    records.write(node, {"state": RUNNING, "host": os.uname().nodename})
    try:
        if node == launcher.node_ids[0]:
            preflight("[kubeflow] or this run's parameters", config)
            forget_incomplete(ledger.store, tell)
            settle(ledger.store, workdir.serving, tell)
            settle_runs(config, workdir, ledger, but=run_id, tell=True)
            plan_run(config, workdir, ledger, records, force, launcher_of, launcher.node_ids[-1])
            launcher = launcher_of(plan_of(records))
        step = _launch(node, launcher, records, gpus)
    except Exception as error:  # noqa: BLE001 - the record says that it works, and has to say why it does not
        step = StepResult(node, FAILED, error=error)
    status = end_step(step, config, launcher, records, executor_input)
    if step.state == FAILED or node == launcher.node_ids[-1]:
        _conclude_again(config, workdir, launcher, records, ledger)
    return status


def _conclude_again(
    config: Config, workdir: Workdir, launcher: Launcher, records: Records, ledger: Ledger
) -> None:
    """Sums up anew a run that was summed up before: KFP's Retry keeps an exit task that has succeeded.

    What goes wrong here is not the step's failure: whoever asks later sums the run up.
    """
    from pipeline.kubeflow.conclude import conclude, is_concluded

    if is_concluded(records):
        try:
            conclude(config, workdir, launcher, records, ledger, None)
        except Exception as error:  # noqa: BLE001 - the step has ended as it did
            traceback.print_exc()
            tell(f"the run cannot be summed up: {' '.join(str(error).split())}")


def _launch(node: str, launcher: Launcher, records: Records, gpus: int) -> StepResult:
    """The node, or nothing where the first step has found that there is nothing to do."""
    from trainer.fitting.devices import require_gpus

    if is_over(records):
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


def root_of(config: Config) -> Path:
    """Where the steps keep artifacts, records and versions, as they see it."""
    return _root(narrow(config.kubeflow, Kubeflow), config.pipeline.name)


def root_in(values: dict[str, Any]) -> Path:
    """The same of a compiled configuration that was not checked with this run's parameters."""
    return _root(Kubeflow.model_validate(values["kubeflow"]), values["pipeline"]["name"])


def _root(cluster: Kubeflow, name: str) -> Path:
    return Path(cluster.pipeline_root or PurePosixPath(cluster.mount_path, name))
