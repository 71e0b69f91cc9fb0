"""`kembar schedule`: one recurring run a pipeline on KFP, made to be what the configuration says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rich.table import Table

from pipeline.config.cluster import Kubeflow, Schedule
from pipeline.config.configuration import Config
from pipeline.config.cron import Cron
from pipeline.kubeflow.client import Kfp
from pipeline.kubeflow.submit import Version, experiment_id, pipeline_name
from trainer.spec import narrow

# Schedules of ours say so first in their description, with a digest of all that they were made from: KFP
# fills in defaults of its own, so what it returns cannot be compared with what was asked for.
_OURS = "kembar"
_ENABLE, _DISABLE = "ENABLE", "DISABLE"


def apply(
    client: Kfp, config: Config, schedule: Schedule, parameters: dict[str, Any], version: Version
) -> str:
    """Makes KFP's schedule what the configuration says. Returns what was done, in words.

    A schedule is of one version, and KFP cannot change one: another version, cron or parameter makes a new
    one. It is made disabled, and starts when the old one is gone, so there never are two that run.
    """
    cluster = narrow(config.kubeflow, Kubeflow)
    name = pipeline_name(config)
    experiment = experiment_id(client, cluster)
    cron = Cron.parse(schedule.cron).six_fields()
    wanted = {
        "cron": cron,
        "parameters": parameters,
        "version_id": version.version_id,
        "experiment_id": experiment,
        "service_account": cluster.service_account,
    }
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:12]
    description = f"{_OURS} {digest}: version {version.version}"
    mode = _ENABLE if schedule.enabled else _DISABLE
    with client.explained(f"schedule {name}"):
        old = _of_name(client, name)
        if len(old) == 1 and old[0].description == description and _cron_of(old[0]) == cron:
            if old[0].mode == mode:
                return "unchanged"
            _switch(client, old[0].recurring_run_id, schedule.enabled)
            return "enabled" if schedule.enabled else "disabled"
        fresh = client.create_recurring_run(
            experiment,
            name,
            description=description,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=parameters,
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            enabled=False,
            service_account=cluster.service_account,
        )
        for recurring in old:
            client.delete_recurring_run(recurring.recurring_run_id)
        if schedule.enabled:
            _switch(client, fresh.recurring_run_id, enabled=True)
    return "replaced" if old else "created"


def delete(client: Kfp, config: Config) -> int:
    """Deletes the pipeline's schedules and returns how many there were; none is no error."""
    name = pipeline_name(config)
    with client.explained(f"delete the schedule of {name}"):
        old = _of_name(client, name)
        for recurring in old:
            client.delete_recurring_run(recurring.recurring_run_id)
    return len(old)


def listing(client: Kfp) -> Table:
    """The schedules of the namespace that were made here."""
    with client.explained("list schedules"):
        recurring_runs = client.find(
            client.list_recurring_runs, "recurring_runs", None, namespace=client.namespace
        )
    table = Table("Schedule", "Cron", "Mode", "Version", "Parameters", "Made", box=None)
    for recurring in sorted(recurring_runs, key=lambda each: each.display_name):
        if not (recurring.description or "").startswith(f"{_OURS} "):
            continue
        parameters = (recurring.runtime_config and recurring.runtime_config.parameters) or {}
        table.add_row(
            recurring.display_name,
            recurring.trigger.cron_schedule.cron,
            {_ENABLE: "enabled", _DISABLE: "disabled"}.get(recurring.mode, str(recurring.mode)),
            recurring.description.rpartition(" ")[2],
            ", ".join(f"{key}={value}" for key, value in sorted(parameters.items())) or "-",
            f"{recurring.created_at:%Y-%m-%d %H:%M}" if recurring.created_at else "-",
        )
    return table


def warnings(config: Config) -> list[str]:
    """Return what KFP does not do for a schedule, which nobody would hear of otherwise."""
    cluster = narrow(config.kubeflow, Kubeflow)
    lines = [
        "KFP ends no run whose pod no node takes, and this schedule waits for it: let a timer call `kembar "
        f"schedule watch`, as deploy/watch: it ends runs after {cluster.run_timeout_seconds:,} s and tells "
        "the webhook"
    ]
    if (account := cluster.service_account) is not None:
        lines.append(
            f"KFP up to 2.16 runs schedules as its default account, not as {account}: give that one "
            "(pipeline-runner, or default-editor of a profile) the same rights; newer KFP may allow named "
            f"accounts only: {account} has to be among them"
        )
    return lines


def _of_name(client: Kfp, name: str) -> list[Any]:
    return client.find(client.list_recurring_runs, "recurring_runs", name, namespace=client.namespace)


def _cron_of(recurring: Any) -> Any:
    trigger = recurring.trigger
    return trigger and trigger.cron_schedule and trigger.cron_schedule.cron


def _switch(client: Kfp, schedule_id: str, enabled: bool) -> None:
    (client.enable_recurring_run if enabled else client.disable_recurring_run)(schedule_id)
