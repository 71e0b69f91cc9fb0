"""The pods that KFP makes of a compiled pipeline, and what Kubernetes and Argo would say of them.

As KFP's driver puts a pod together (backend/src/v2/driver: initPodSpecPatch, extendPodSpecPatch) and its
compiler a workflow (backend/src/v2/compiler/argocompiler).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

# The versions whose sources these rules are read from.
KFP = "2.14 to 2.17"
# Kubernetes' oldest and newest version that pods are held against.
KUBERNETES = ("1.29", "1.37")
# What Linux passes to a program in one argument (MAX_ARG_STRLEN, less the closing zero).
LONGEST_ARGUMENT = 128 * 1024 - 1
# The way out where something is too long.
SHORTER = (
    "put [serving] golden_file or [data] schema_file below mount_path, so that its path alone travels, and "
    "long values of [kubeflow.environment] into files of the volume"
)
# What Argo keeps of a workflow with all its statuses, which it compresses first.
MOST_BYTES = 1024 * 1024
# Of templates that do not depend on the pipeline, of a task's entries in them, and of each node's status
# besides its parameters. Within 5 % of what KFP 2.16.1's own compiler made of a pipeline of 23 steps.
_TEMPLATES, _ENTRIES = 16_000, 2_000
_STATUS = {"phase": "Succeeded", "startedAt": "2026-11-27T18:00:00Z", "templateName": "executor"}
# Volumes that KFP and Argo give every pod, by name.
_SCRATCH = {
    "kfp-launcher": "/kfp-launcher",
    "gcs-scratch": "/gcs",
    "s3-scratch": "/s3",
    "minio-scratch": "/minio",
    "dot-local-scratch": "/.local",
    "dot-cache-scratch": "/.cache",
    "dot-config-scratch": "/.config",
    "var-run-argo": "/var/run/argo",
}


@dataclass(frozen=True)
class Size:
    """How much there is to keep of a run, in bytes."""

    workflow: int
    """with the statuses of all steps, as Argo compresses it"""
    argument: int
    """the longest of a command, or of a variable with its value"""


def pods_of(documents: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod of each task that is a container, by the task's name."""
    spec = documents[0]
    executors = spec["deploymentSpec"]["executors"]
    platform = _platform(documents)
    pods = {}
    for name, _, component in _tasks(spec):
        label = str(component.get("executorLabel"))
        if "container" in executors.get(label, {}):
            pods[name] = _pod(name, component, executors[label]["container"], platform.get(label, {}))
    return pods


def size_of(documents: Sequence[dict[str, Any]]) -> Size:
    """How large the workflow gets whose steps have all ended, every one at its first try."""
    spec, platform = documents[0], _platform(documents)
    executors = spec["deploymentSpec"]["executors"]
    pods = pods_of(documents)
    bare = 0
    nodes: list[dict[str, Any]] = []
    for name, task, component in _tasks(spec):
        if name not in pods:
            continue
        label = component["executorLabel"]
        known = [task, component, executors[label]["container"], platform.get(label, {})]
        inputs = [_compact(part) for part in known]
        bare += _ENTRIES + sum(map(len, inputs))
        patch = _compact(pods[name]["spec"])
        nodes.append({**_STATUS, "name": f"{name}-driver", "inputs": inputs, "outputs": [patch]})
        # The task, its executor, and a try of it.
        nodes += [{**_STATUS, "name": f"{name}-{n}", "inputs": [patch], "outputs": []} for n in range(3)]
    statuses = base64.b64encode(gzip.compress(_compact(nodes).encode()))
    main = [pod["spec"]["containers"][0] for pod in pods.values()]
    words = [word for container in main for word in container["args"]]
    words += [
        f"{variable['name']}={variable.get('value', '')}"
        for container in main
        for variable in container["env"]
    ]
    return Size(_TEMPLATES + bare + len(statuses), max((len(word.encode()) for word in words), default=0))


def problems(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One sentence a problem of a pod or of the whole workflow, beginning with its place."""
    pods = pods_of(documents)
    for name, pod in pods.items():
        for objection in _twice(pod):
            yield f"pod of {name}: {objection}"
    yield from _against_schemas(pods)
    size = size_of(documents)
    if size.argument > LONGEST_ARGUMENT:
        yield (
            f"an argument or variable of {size.argument:,} bytes, but Linux passes {LONGEST_ARGUMENT:,}: "
            f"{SHORTER}"
        )
    if size.workflow > MOST_BYTES:
        yield (
            f"the workflow with its statuses gets about {size.workflow:,} bytes, but Argo keeps "
            f"{MOST_BYTES:,}: {SHORTER}"
        )


def describe(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return what was checked of a pipeline without problems, a line for each kind."""
    made = pods_of(documents)
    size = size_of(documents)
    specs = [pod["spec"] for pod in made.values()]
    main = [spec["containers"][0] for spec in specs]
    schemas = (
        f"against the schemas of Kubernetes {' and '.join(KUBERNETES)}"
        if has_schemas()
        else "not against Kubernetes' schemas: pip install kubernetes-validate"
    )
    names = {
        "images": {container["image"] for container in main},
        "claims": {
            volume["persistentVolumeClaim"]["claimName"]
            for spec in specs
            for volume in spec["volumes"]
            if "persistentVolumeClaim" in volume
        },
        "secrets": {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for container in main
            for variable in container["env"]
            if "valueFrom" in variable
        },
    }
    return [
        f"KFP {KFP}: schema, executors, placeholders, edges, exit task",
        f"pods: {len(made)}, names, requests and limits, {schemas}",
        *(f"{kind}: {', '.join(sorted(used)) or 'none'}" for kind, used in names.items()),
        f"sizes: the workflow with all statuses about {size.workflow:,} of {MOST_BYTES:,} bytes, the longest "
        f"argument or variable {size.argument:,} of {LONGEST_ARGUMENT:,}",
    ]


def has_schemas() -> bool:
    """True where Kubernetes' schemas are installed: they are 100 MB, which an image does not need."""
    return find_spec("kubernetes_validate") is not None


def _twice(pod: dict[str, Any]) -> Iterator[str]:
    container = pod["spec"]["containers"][0]
    for key, names, fix in (
        (
            "env",
            [variable["name"] for variable in container["env"]],
            "[kubeflow] environment, database and webhook set variables: leave it to one of them",
        ),
        (
            "mountPath",
            [mount["mountPath"] for mount in container["volumeMounts"]],
            "KFP has that folder for itself: set another [kubeflow] mount_path",
        ),
        (
            "volume",
            [volume["name"] for volume in pod["spec"]["volumes"]],
            "KFP or a step's shared memory has such a volume: call [kubeflow] volume_claim otherwise",
        ),
    ):
        for twice in sorted({name for name in names if names.count(name) > 1}):
            yield f"{key} {twice!r} stands there twice: {fix}"


def _against_schemas(pods: dict[str, dict[str, Any]]) -> Iterator[str]:
    if not has_schemas():
        return
    from kubernetes_validate import ValidationError, validate

    # A schema is read at each call: all pods at once, and only a list that is refused pod by pod.
    together = {"apiVersion": "v1", "kind": "PodList", "items": [*pods.values()]}
    for version in KUBERNETES:
        try:
            validate(together, version, strict=True)
        except ValidationError:
            for name, pod in pods.items():
                try:
                    validate(pod, version, strict=True)
                except ValidationError as error:
                    location = ".".join(str(part) for part in error.path)
                    yield f"pod of {name}: Kubernetes {version}: {location}: {error.message}"


def _tasks(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every task of every DAG with its component."""
    components = spec.get("components", {})
    dags = [spec.get("root", {}), *(component for component in components.values() if "dag" in component)]
    for dag in dags:
        for name, task in dag.get("dag", {}).get("tasks", {}).items():
            yield name, task, components.get(task.get("componentRef", {}).get("name"), {})


def _platform(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for document in documents[1:]:
        return (
            document.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        )
    return {}


def _pod(
    name: str, component: dict[str, Any], container: dict[str, Any], extras: dict[str, Any]
) -> dict[str, Any]:
    launcher = [
        "/kfp-launcher/launch",
        "--executor_input",
        "{}",
        "--component_spec",
        _compact(component),
        "--",
    ]
    volumes: list[dict[str, Any]] = [{"name": volume, "emptyDir": {}} for volume in _SCRATCH]
    mounts = [{"name": volume, "mountPath": path} for volume, path in _SCRATCH.items()]
    for mount in extras.get("pvcMount", []):
        claim = mount.get("constant") or "claim"
        volumes.append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": claim, "mountPath": mount["mountPath"]})
    for mount in extras.get("emptyDirMounts", []):
        source = {"medium": mount.get("medium", ""), **_given(mount, sizeLimit="sizeLimit")}
        volumes.append({"name": mount["volumeName"], "emptyDir": source})
        mounts.append({"name": mount["volumeName"], "mountPath": mount["mountPath"]})
    secrets = [
        {
            "name": pair["envVar"],
            "valueFrom": {
                "secretKeyRef": {"name": secret.get("secretName") or "secret", "key": pair["secretKey"]}
            },
        }
        for secret in extras.get("secretAsEnv", [])
        for pair in secret["keyToEnv"]
    ]
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "main",
                "image": container["image"],
                "command": launcher,
                "args": [*container["command"], *container.get("args", [])],
                "env": [*container.get("env", []), *secrets],
                "resources": _resources(container.get("resources", {})),
                "volumeMounts": mounts,
                **_given(extras, imagePullPolicy="imagePullPolicy"),
            }
        ],
        "restartPolicy": "Never",
        "volumes": volumes,
        **_given(extras, tolerations="tolerations"),
    }
    if "nodeSelector" in extras:
        spec["nodeSelector"] = extras["nodeSelector"].get("labels", {})
    if "imagePullSecret" in extras:
        spec["imagePullSecrets"] = [
            {"name": secret.get("secretName") or "secret"} for secret in extras["imagePullSecret"]
        ]
    if "activeDeadlineSeconds" in extras:
        spec["activeDeadlineSeconds"] = int(extras["activeDeadlineSeconds"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _resources(declared: dict[str, Any]) -> dict[str, Any]:
    requests = _given(declared, resourceCpuRequest="cpu", resourceMemoryRequest="memory")
    limits = _given(declared, resourceCpuLimit="cpu", resourceMemoryLimit="memory")
    accelerator = declared.get("accelerator", {})
    if accelerator:
        count = accelerator.get("resourceCount") or accelerator.get("count", 1)
        limits[accelerator.get("resourceType") or accelerator["type"]] = str(count)
    return {"requests": requests, "limits": limits}


def _given(message: dict[str, Any], **names: str) -> dict[str, Any]:
    return {name: message[key] for key, name in names.items() if key in message}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
