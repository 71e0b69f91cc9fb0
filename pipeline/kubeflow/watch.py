"""Ends runs that go on for too long, and says so: KFP ends none whose pod is never scheduled.

Such a pod counts against no timeout of its own, the run goes on for good, and the schedule, of which only one
run may be at work, waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.kubeflow.client import Kfp
from pipeline.kubeflow.submit import ENDED, pipeline_name
from pipeline.runs.notify import notify
from pipeline.store.outcome import FAILURE, without_steps
from trainer.spec import narrow


def end_overdue(client: Kfp, config: Config, say: Callable[[str], None]) -> int:
    """Ends the pipeline's runs that are older than `[kubeflow] run_timeout_seconds`; how many there were.

    Raises:
      KubeflowError: KFP refuses, or cannot be reached.
    """
    cluster = narrow(config.kubeflow, Kubeflow)
    name = pipeline_name(config)
    with client.explained(f"look for runs of {name}"):
        listed = client.find(client.list_pipelines, "pipelines", name, namespace=client.namespace)
        pipelines = {pipeline.pipeline_id for pipeline in listed}
        runs = client.find(client.list_runs, "runs", None, namespace=client.namespace) if pipelines else []
    ended = 0
    for run in runs:
        version = run.pipeline_version_reference
        if version is None or version.pipeline_id not in pipelines or run.state in (*ENDED, "CANCELING"):
            continue
        age = (datetime.now(UTC) - run.created_at).total_seconds()
        if age > cluster.run_timeout_seconds:
            end(client, config, run, age, say)
            ended += 1
    return ended


def end(client: Kfp, config: Config, run: Any, seconds: float, say: Callable[[str], None]) -> None:
    """Ends a run that was given its time, and tells whoever hears of runs.

    Its last task does not run then, so that nobody else would.
    """
    with client.explained(f"end run {run.run_id}"):
        client.terminate_run(run.run_id)
    tasks = (run.run_details and run.run_details.task_details) or []
    open_tasks = sorted(
        {task.display_name for task in tasks if task.display_name and task.state not in (*ENDED, None)}
    )
    waiting = f": {', '.join(open_tasks)} did not end: look at the pods" if open_tasks else ""
    reason = (
        f"run {run.display_name} did not end within {seconds / 3600:.1f} h and was ended{waiting}; no node "
        "may have what a step asks for, or [kubeflow] run_timeout_seconds has to be longer"
    )
    say(reason)
    facts = {"pipeline": config.pipeline.name, "run_id": run.run_id, "seconds": round(seconds)}
    facts |= {"started": run.created_at.isoformat(), **without_steps(FAILURE, reason)}
    notify(config.notify, facts)
