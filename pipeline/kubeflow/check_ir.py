"""Checks for what KFP's open-source backend rejects or drops in a pipeline that kfp's own loader accepts.

The rules are the backend's (kubeflow/pipelines, backend/src/v2: compiler/argocompiler, driver, component)
and what was seen with TFX's own runner, which is made for Google's managed service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.kubeflow import pods
from trainer.errors import ConfigError

SCHEMA_VERSION = "2.1.0"
# Kubernetes objects and etcd's requests are limited to about 1.5 MB, and the workflow repeats the spec.
MOST_BYTES = 700_000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST_NAME = 128
_INPUT = re.compile(r"\{\{\$\.inputs\.(parameters|artifacts)\[['\"]+([^'\"\]]+)['\"]+\]")
_OUTPUT = re.compile(r"\{\{\$\.outputs\.(parameters|artifacts)\[['\"]+([^'\"\]]+)['\"]+\]")
# The driver knows these as the whole constant of a task's input, and nowhere else.
_RUN_PLACEHOLDER = re.compile(r"\{\{\$\.pipeline_(job|task)_\w+\}\}")
_CEL_NAME = re.compile(r"inputs\.(?:parameter_values|parameters|artifacts)\[['\"]([^'\"\]]+)['\"]\]")


def check(path: Path) -> None:
    """Refuse a compiled pipeline with problems.

    Raises:
      ConfigError: naming the first one, and how many there are.
    """
    text = path.read_text(encoding="utf-8")
    problems = find_problems(documents_of(text), len(text))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{path.name}: the backend would not run it: {problems[0]}{more}")


def documents_of(text: str) -> list[dict[str, Any]]:
    """The pipeline of a compiled file, and the platform document if there is one."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def find_problems(documents: Sequence[dict[str, Any]], size: int = 0) -> list[str]:
    """One sentence a problem, beginning with its place.

    Args:
      documents: The pipeline, and the platform document if there is one.
      size: Bytes of the file; 0 when unknown.
    """
    if not documents:
        return ["the file is empty"]
    # Google's service wraps the pipeline in a job.
    spec = documents[0].get("pipelineSpec", documents[0])
    problems = []
    if spec is not documents[0]:
        problems.append("pipelineSpec: a pipeline job of the managed service, not a pipeline: unwrap it")
    if spec.get("schemaVersion") != SCHEMA_VERSION:
        problems.append(f"schemaVersion: {spec.get('schemaVersion')!r}, the backend takes {SCHEMA_VERSION}")
    if size > MOST_BYTES:
        problems.append(f"{size:,} bytes, but the workflow made of it has to stay below 1 MB: {pods.SHORTER}")
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        problems.append(
            f"pipelineInfo.name: {name!r}: lower-case letters, digits and '-', a letter or digit first and "
            f"last, at most {_LONGEST_NAME}: change [pipeline] name"
        )
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    components = spec.get("components", {})
    problems = [
        *problems,
        *_executor_problems(executors),
        *_component_problems(components, executors),
        *_root_problems(spec.get("root", {}), components),
        *_platform_problems(documents[1:], executors),
    ]
    # Only of a pipeline that is one can be said which pods it makes.
    return problems or list(pods.problems([spec, *documents[1:]]))


def _executor_problems(executors: dict[str, Any]) -> Iterator[str]:
    if not executors:
        yield "deploymentSpec.executors: there are none"
    for label, executor in executors.items():
        location = f"deploymentSpec.executors.{label}"
        for kind in executor:
            if kind == "resolver":
                yield f"{location}: a resolver, which the backend does not implement"
            elif kind == "importer" and not executor[kind].get("artifactUri"):
                yield f"{location}: an importer without artifactUri"
            elif kind not in ("container", "importer"):
                yield f"{location}: {kind!r} is of the managed service, the backend runs containers"
        if "container" in executor:
            yield from _container_problems(location, executor["container"])


def _container_problems(location: str, container: dict[str, Any]) -> Iterator[str]:
    if not container.get("image"):
        yield f"{location}: no image"
    if not container.get("command"):
        yield f"{location}: no command, and the launcher replaces the image's own"
    if "lifecycle" in container:
        yield f"{location}: a driver of its own (lifecycle), which the backend never calls"
    for text in _words(container):
        if _RUN_PLACEHOLDER.search(text):
            yield f"{location}: {text!r} is resolved only as the value of a task's input, not in a command"
    accelerator = container.get("resources", {}).get("accelerator", {})
    resource = accelerator.get("resourceType") or accelerator.get("type")
    if resource and "/" not in resource:
        yield f"{location}: accelerator {resource!r} is no Kubernetes resource, such as 'nvidia.com/gpu'"


def _component_problems(components: dict[str, Any], executors: dict[str, Any]) -> Iterator[str]:
    used = {component.get("executorLabel") for component in components.values()}
    for label in sorted(set(executors) - used):
        yield f"deploymentSpec.executors.{label}: no component uses it"
    for name, component in components.items():
        yield from _definition_problems(f"components.{name}", component)
        if "dag" in component:
            inputs = _declared(component, "input")
            yield from _dag_problems(f"components.{name}.dag", component["dag"], inputs, components)
        elif component.get("executorLabel") not in executors:
            yield f"components.{name}: executor {component.get('executorLabel')!r} does not exist"
        else:
            yield from _placeholder_problems(component, executors[component["executorLabel"]])


def _definition_problems(location: str, component: dict[str, Any]) -> Iterator[str]:
    for side in ("input", "output"):
        declared = _declared(component, side)
        for key, spec in declared["artifacts"].items():
            kind = spec.get("artifactType", {})
            if not (kind.get("schemaTitle") or kind.get("instanceSchema")):
                yield f"{location}: artifact {key!r} has no schemaTitle, and arrives without properties"
        for key, spec in declared["parameters"].items():
            if "parameterType" not in spec:
                yield f"{location}: parameter {key!r} has no parameterType (schema 2.0 wrote 'type')"


def _placeholder_problems(component: dict[str, Any], executor: dict[str, Any]) -> Iterator[str]:
    label = component["executorLabel"]
    for text in _words(executor.get("container", {})):
        for pattern, side in ((_INPUT, "input"), (_OUTPUT, "output")):
            known = _declared(component, side)
            for kind, key in pattern.findall(text):
                if key not in known[kind]:
                    yield f"deploymentSpec.executors.{label}: {text[:80]!r} names undeclared {key!r}"


def _words(container: dict[str, Any]) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]


def _root_problems(root: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    inputs = _declared(root, "input")
    for key, spec in inputs["parameters"].items():
        if "defaultValue" not in spec and not spec.get("isOptional"):
            yield f"root: parameter {key!r} has no defaultValue: a run without it is refused"
    yield from _dag_problems("root.dag", root.get("dag", {}), inputs, components)


def _dag_problems(
    location: str, dag: dict[str, Any], inputs: dict[str, Any], components: dict[str, Any]
) -> Iterator[str]:
    tasks = dag.get("tasks", {})
    if not tasks:
        yield f"{location}: no tasks"
    for name, task in tasks.items():
        here = f"{location}.tasks.{name}"
        component = components.get(task.get("componentRef", {}).get("name"))
        if component is None:
            yield f"{here}: its component does not exist"
            continue
        for before in task.get("dependentTasks", []):
            if before not in tasks:
                yield f"{here}: depends on {before!r}, which does not exist"
        yield from _input_problems(here, task, _declared(component, "input"))
        for given in task.get("inputs", {}).values():
            for key, value in given.items():
                yield from _value_problems(here, key, value, inputs, tasks, task.get("triggerPolicy", {}))
    yield from _cycle(location, tasks)


def _input_problems(here: str, task: dict[str, Any], declared: dict[str, dict[str, Any]]) -> Iterator[str]:
    given = {key for values in task.get("inputs", {}).values() for key in values}
    for key in _CEL_NAME.findall(task.get("triggerPolicy", {}).get("condition", "")):
        if key not in given:
            yield f"{here}: its condition names {key!r}, which is no input of the task"
    for specs in declared.values():
        for key, spec in specs.items():
            if key not in given and not spec.get("isOptional") and "defaultValue" not in spec:
                yield f"{here}: input {key!r} has neither a value nor a default"


def _value_problems(
    here: str, key: str, value: dict[str, Any], inputs: dict[str, Any], tasks: dict[str, Any], policy: dict
) -> Iterator[str]:
    for kind, field in (("parameters", "componentInputParameter"), ("artifacts", "componentInputArtifact")):
        if field in value and value[field] not in inputs[kind]:
            yield f"{here}: input {key!r} comes from {value[field]!r}, which is not declared"
    for field in ("taskOutputParameter", "taskOutputArtifact", "taskFinalStatus"):
        producer = value.get(field, {}).get("producerTask")
        if field in value and producer not in tasks:
            yield f"{here}: input {key!r} comes from {producer!r}, which does not exist"
    if "taskFinalStatus" in value and policy.get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED":
        yield f"{here}: input {key!r} is a final status, which only an exit task gets"
    constant = value.get("runtimeValue", {}).get("constant")
    if "runtimeParameter" in value.get("runtimeValue", {}):
        yield f"{here}: input {key!r} is a runtimeParameter, which schema {SCHEMA_VERSION} does not know"
    placeholder = isinstance(constant, str) and _RUN_PLACEHOLDER.search(constant)
    if placeholder and not _RUN_PLACEHOLDER.fullmatch(str(constant)):
        yield f"{here}: input {key!r} = {constant!r}: such a placeholder has to be the whole value"


def _cycle(location: str, tasks: dict[str, Any]) -> Iterator[str]:
    left = {name: set(task.get("dependentTasks", [])) & set(tasks) for name, task in tasks.items()}
    while ready := [name for name, before in left.items() if not before & set(left)]:
        for name in ready:
            del left[name]
    if left:
        yield f"{location}: {', '.join(sorted(left))} wait for each other"


def _platform_problems(documents: Sequence[dict[str, Any]], executors: dict[str, Any]) -> Iterator[str]:
    for document in documents:
        for platform, content in document.get("platforms", {}).items():
            if platform != "kubernetes":
                yield f"platforms.{platform}: the backend knows 'kubernetes' alone"
            for label, extras in content.get("deploymentSpec", {}).get("executors", {}).items():
                location = f"platforms.{platform}.{label}"
                if label not in executors:
                    yield f"{location}: no such executor"
                for mount in extras.get("pvcMount", []):
                    named = mount.get("pvcNameParameter") or mount.get("constant")
                    if not named or not mount.get("mountPath"):
                        yield f"{location}: a pvcMount needs a claim and a mountPath"
                for secret in extras.get("secretAsEnv", []):
                    if not (secret.get("secretNameParameter") or secret.get("secretName")):
                        yield f"{location}: a secretAsEnv without the secret's name"


def _declared(component: dict[str, Any], side: str) -> dict[str, dict[str, Any]]:
    definitions = component.get(f"{side}Definitions", {})
    return {kind: definitions.get(kind, {}) for kind in ("parameters", "artifacts")}
