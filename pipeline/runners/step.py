"""`kembar step`: one step of a run, in a process of its own. It is what the containers of a cluster run.

All steps of a run are told the same: the configuration that was compiled, the run's id and parameters. Each
builds the same graph from it and launches one node, against one metadata database and one folder.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.leftovers import forget_incomplete
from pipeline.preflight import preflight
from pipeline.pushes import settle
from pipeline.retraining.work import says_no
from pipeline.runners.beginning import begin, decline, is_over, plan_of
from pipeline.runners.config import Database, Kubeflow
from pipeline.runners.records import RUNNING, Records
from pipeline.runners.steps import FAILED, SKIPPED, Step
from pipeline.workdir import Workdir
from trainer.errors import ConfigError, KembarError
from trainer.spec import narrow

if TYPE_CHECKING:
    from pipeline.retraining.plan import Plan
    from pipeline.runners.launch import Launcher

CONCLUDE = "Conclude"
# Where the containers find the metadata database's account.
USER, PASSWORD = "KEMBAR_DATABASE_USER", "KEMBAR_DATABASE_PASSWORD"
# Kubernetes shows what stands in here as the reason why a container has ended.
_TERMINATION_LOG = Path("/dev/termination-log")


@dataclass(frozen=True)
class Parameters:
    """What can be changed from run to run without compiling again."""

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


def _move_data(data: dict[str, Any], place: Path) -> None:
    """`place` is the file that `path` names, or the folder of the files that `train`, `eval`, `test` name."""
    if data.get("pattern"):
        raise ConfigError(
            f"data_path = {str(place)!r}: [data] pattern says where the spans are: "
            "put data.pattern=... into the run parameter settings"
        )
    if data.get("path"):
        data["path"] = str(place)
        return
    for split in ("train", "eval", "test"):
        written = data.get(split)
        if isinstance(written, list):
            data[split] = [str(place / PurePosixPath(one).name) for one in written]
        elif written:
            data[split] = str(place / PurePosixPath(written).name)


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
        reason, status = str(error), error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads one line
        traceback.print_exc()
        reason, status = f"{node}: {type(error).__name__}: {' '.join(str(error).split())}", 1
    _say_why(reason)
    if node == CONCLUDE:
        from pipeline.runners.conclude import tell_failure

        tell_failure(values, run_id, reason)
    return status


def _run_step(
    node: str, config: Config, run_id: str, force: bool, executor_input: str | None, gpus: int
) -> int:
    cluster = narrow(config.kubeflow, Kubeflow)
    workdir = Workdir.of(config, root_of(config))
    records = Records.of(workdir.root, run_id)
    _check_volume(workdir.root)
    if node != CONCLUDE and is_over(records):
        records.write_step(Step(node, SKIPPED))
        _tell(f"{node}: left out: nothing is to be trained")
        return 0
    # Here and not above: it takes seconds, and a wrong parameter should not.
    from pipeline import graph
    from pipeline.retraining.ledger import Ledger
    from pipeline.runners.launch import Launcher

    database = connection(cluster.database, workdir)

    def launcher_of(plan: Plan, name: str = "") -> Launcher:
        built = graph.build(config, workdir.artifacts, database, workdir.serving, cached=not force, plan=plan)
        return Launcher(built, f"{run_id}-{name}" if name else run_id)

    launcher = launcher_of(plan_of(records))
    launcher.check_database()
    ledger = Ledger(database, config.pipeline.name)
    if node == CONCLUDE:
        from pipeline.runners.conclude import conclude

        return conclude(config, workdir, launcher, records, ledger, executor_input)
    if node not in launcher.node_ids:
        raise ConfigError(f"--node {node}: there are {', '.join([*launcher.node_ids, CONCLUDE])}")
    records.write(node, {"state": RUNNING, "host": os.uname().nodename})
    try:
        if node == launcher.node_ids[0]:
            preflight("[kubeflow] or this run's parameters", config)
            forget_incomplete(ledger.store, _tell)
            settle(ledger.store, workdir.serving, _tell)
            begin(config, workdir, ledger, records, force, launcher_of)
            launcher = launcher_of(plan_of(records))
        step = _launch(node, launcher, records, gpus)
    except KembarError as error:
        step = Step(node, FAILED, error=error)
    return _end(step, config, launcher, records, executor_input)


def _end(step: Step, config: Config, launcher: Launcher, records: Records, executor_input: str | None) -> int:
    """Keeps what became of a step and shows it; the exit code."""
    from pipeline.runners import user_interface

    if step.error is not None:
        traceback.print_exception(step.error)
    records.write_step(step)
    _tell(f"{step.id}: {step.state} in {step.seconds:.1f} s, {step.peak_memory_mb} MB")
    if step.state == FAILED:
        return _failed(step)
    if step.state == SKIPPED:
        return 0
    if says_no(step):
        decline(records)
    if executor_input is not None:
        user_interface.write(json.loads(executor_input), user_interface.of_step(step, config))
    return _verdict(launcher, records) if step.id == launcher.node_ids[-1] else 0


def _launch(node: str, launcher: Launcher, records: Records, gpus: int) -> Step:
    """The node, or nothing where the first step has found that there is nothing to do."""
    from trainer.devices import require_gpus

    if is_over(records):
        return Step(node, SKIPPED)
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
    cluster = narrow(config.kubeflow, Kubeflow)
    return Path(cluster.pipeline_root or PurePosixPath(cluster.mount_path, config.pipeline.name))


def connection(database: Database | None, workdir: Workdir) -> Any:
    """How to reach ML Metadata. User and password come from the environment, never from the pipeline.

    Raises:
      ConfigError: the environment has none.
    """
    from tfx.orchestration import metadata

    if database is None:
        return metadata.sqlite_metadata_connection_config(str(workdir.metadata))
    for name in (USER, PASSWORD):
        if name not in os.environ:
            raise ConfigError(
                f"{name} is not set: the secret {database.secret!r} of [kubeflow.database] should have set it"
            )
    return metadata.mysql_metadata_connection_config(
        database.host, database.port, database.name, os.environ[USER], os.environ[PASSWORD]
    )


def _failed(step: Step) -> int:
    from pipeline.outcome import EXIT_CODES
    from pipeline.summary import step_failure

    outcome = step_failure(step)
    _say_why(outcome.reason)
    return step.error.exit_code if isinstance(step.error, KembarError) else EXIT_CODES[outcome.status]


def _verdict(launcher: Launcher, records: Any) -> int:
    """The last step fails when nothing was pushed, so that the run shows it."""
    from pipeline.outcome import EXIT_CODES
    from pipeline.summary import summarize

    found = summarize(records.steps(launcher), (records.read("run") or {}).get("before", []))
    if EXIT_CODES[found["status"]]:
        _say_why(f"{found['status']}: {found['reason']}")
    else:
        _tell(f"{found['status']}: {found['reason']}")
    return EXIT_CODES[found["status"]]


def _tell(line: str) -> None:
    """One line of the pod's log."""
    print(line, flush=True)  # noqa: T201 - a container's stdout is its log


def _say_why(reason: str) -> None:
    """One line where a person looks: the end of the log, and the pod's own message."""
    print(f"kembar: error: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - as every command ends
    try:
        if _TERMINATION_LOG.exists():
            _TERMINATION_LOG.write_text(reason[:4_000])
    except OSError:
        return
