"""Runs a compiled pipeline as Kubeflow would: its YAML's commands, as processes, in the order of its DAG.

Nothing of ours is asked how a step is started: commands, arguments, edges, parameters and defaults are those
of the YAML, and placeholders are resolved by kfp's own code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Self

import yaml
from kfp.local.placeholder_utils import replace_placeholders

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
# A command, its environment, and the file that gets what it prints.
Launch = Callable[[list[str], dict[str, str], Path], Any]


def start(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen:
    """A process of its own."""
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)


class Webhook:
    """A loopback server that keeps what it is sent."""

    def __init__(self) -> None:
        heard: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.heard = heard
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class TaskRun:
    """One task's processes, one a try."""

    name: str
    statuses: list[int] = field(default_factory=list)
    log: str = ""
    started: float = 0.0
    ended: float = 0.0
    output: dict[str, Any] = field(default_factory=dict)


class CompiledPipeline:
    """A compiled pipeline and a folder for what KFP's launcher would keep."""

    def __init__(
        self,
        path: Path,
        scratch: Path,
        secrets: dict[str, dict[str, str]] | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.document, platform = yaml.safe_load_all(path.read_text())
        self._platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.scratch = scratch
        self.secrets = secrets or {}
        self._launch = launch or start
        self.environment = dict(os.environ)
        # The image has `kembar` on PATH.
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(
        self,
        run_id: str,
        workers: int = 1,
        on_start: Callable[[str, subprocess.Popen], None] = lambda name, process: None,
        only: Collection[str] | None = None,
        **parameters: Any,
    ) -> dict[str, TaskRun]:
        """All tasks, or `only` some and the exit task.

        A task whose predecessors did not all succeed is left out, the exit task never is.
        """
        root = self.document["root"]
        declared = root["inputDefinitions"]["parameters"]
        assert set(parameters) <= set(declared), f"no such parameters: {set(parameters) - set(declared)}"
        values = {name: parameters.get(name, spec["defaultValue"]) for name, spec in declared.items()}
        done: dict[str, TaskRun] = {}
        state = SUCCEEDED
        for name, task in _in_order(root["dag"]["tasks"]):
            component = self.document["components"][task["componentRef"]["name"]]
            told = _resolve(task, values, run_id)
            if "dag" in component:
                tasks = component["dag"]["tasks"]
                chosen = {name: tasks[name] for name in tasks if only is None or name in only}
                done |= self._run_dag(chosen, told, run_id, workers, on_start)
                state = FAILED if any(run.statuses[-1] for run in done.values()) else SUCCEEDED
                continue
            for parameter, value in task.get("inputs", {}).get("parameters", {}).items():
                if "taskFinalStatus" in value:
                    told[parameter] = {
                        "state": state,
                        "pipelineTaskName": value["taskFinalStatus"]["producerTask"],
                        "error": {},
                    }
            done[name] = self._run_task(name, task, told, run_id, on_start)
        return done

    def retry(self, run_id: str, before: dict[str, TaskRun]) -> dict[str, TaskRun]:
        """KFP's Retry: what did not succeed runs again; the exit task has succeeded, and is kept."""
        root = self.document["root"]
        values = {name: spec["defaultValue"] for name, spec in root["inputDefinitions"]["parameters"].items()}
        kept = {name: run for name, run in before.items() if run.statuses[-1] == 0}
        for _, task in _in_order(root["dag"]["tasks"]):
            component = self.document["components"][task["componentRef"]["name"]]
            if "dag" in component:
                told = _resolve(task, values, run_id)
                kept = self._run_dag(component["dag"]["tasks"], told, run_id, 1, lambda *_: None, kept)
        return kept

    def _run_dag(
        self,
        tasks: dict[str, Any],
        values: dict[str, Any],
        run_id: str,
        workers: int,
        on_start: Callable,
        before: dict[str, TaskRun] | None = None,
    ) -> dict[str, TaskRun]:
        done = dict(before or {})
        waiting = {name: task for name, task in _in_order(tasks) if name not in done}
        running: dict[Future, str] = {}
        with ThreadPoolExecutor(workers) as pool:
            while waiting or running:
                for name, task in list(waiting.items()):
                    before = task.get("dependentTasks", [])
                    if len(running) < workers and all(
                        one in done and done[one].statuses[-1] == 0 for one in before
                    ):
                        told = _resolve(waiting.pop(name), values, run_id)
                        running[pool.submit(self._run_task, name, task, told, run_id, on_start)] = name
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done[running.pop(future)] = future.result()
        return done

    def _run_task(
        self, name: str, task: dict[str, Any], told: dict[str, Any], run_id: str, on_start: Callable
    ) -> TaskRun:
        component = self.document["components"][task["componentRef"]["name"]]
        container = self.document["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        for parameter, spec in component.get("inputDefinitions", {}).get("parameters", {}).items():
            assert parameter in told or spec.get("isOptional"), f"{name} is not told {parameter}"
        run = TaskRun(name)
        for number in range(1 + task.get("retryPolicy", {}).get("maxRetryCount", 0)):
            folder = self.scratch / run_id / name / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            artifacts = {
                key: {"artifacts": [{"name": key, "type": spec["artifactType"], "uri": str(folder / key)}]}
                for key, spec in component.get("outputDefinitions", {}).get("artifacts", {}).items()
            }
            executor_input = {
                "inputs": {"parameterValues": told},
                "outputs": {"artifacts": artifacts, "outputFile": str(folder / "output_metadata.json")},
            }
            command = replace_placeholders(
                [*container["command"], *container["args"]], executor_input, run_id, name, "unused", run_id
            )
            environment = {
                **self.environment,
                **{variable["name"]: variable["value"] for variable in container.get("env", [])},
                **self._secrets_of(component["executorLabel"]),
            }
            process = self._launch(command, environment, folder / "log")
            on_start(name, process)
            run.statuses.append(process.wait(timeout=600))
            run.log = (folder / "log").read_text()
            output = folder / "output_metadata.json"
            run.output = json.loads(output.read_text()) if output.is_file() else {}
            if run.statuses[-1] == 0:
                break
        return run

    def _secrets_of(self, executor: str) -> dict[str, str]:
        """The variables that Kubernetes would take out of secrets."""
        return {
            pair["envVar"]: self.secrets[source["secretName"]][pair["secretKey"]]
            for source in self._platform.get(executor, {}).get("secretAsEnv", [])
            for pair in source["keyToEnv"]
        }


def _in_order(tasks: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    left = dict(tasks)
    while left:
        ready = [name for name, task in left.items() if not set(task.get("dependentTasks", [])) & set(left)]
        assert ready, f"a cycle among {sorted(left)}"
        for name in ready:
            yield name, left.pop(name)


def _resolve(task: dict[str, Any], values: dict[str, Any], run_id: str) -> dict[str, Any]:
    told = {}
    for name, value in task.get("inputs", {}).get("parameters", {}).items():
        if "componentInputParameter" in value:
            told[name] = values[value["componentInputParameter"]]
        elif "runtimeValue" in value:
            constant = value["runtimeValue"]["constant"]
            told[name] = run_id if constant == "{{$.pipeline_job_uuid}}" else constant
    return told
