"""The `[kubeflow]`, `[schedule]` and `[vertex]` sections: where and when a cluster runs the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from pipeline.config.cron import Cron
from pipeline.config.kubernetes_names import (
    ContainerPath,
    Count,
    Cpu,
    DnsLabel,
    HostName,
    Image,
    LabelKey,
    LabelValue,
    Memory,
    MountPath,
    ObjectName,
    OwnVariable,
    ResourceName,
    Seconds,
    SecretKeyName,
    bytes_of,
    millicores_of,
)
from trainer.section import Section


class SecretKey(Section):
    """One key of a Kubernetes secret; its value never comes here."""

    secret: ObjectName
    key: SecretKeyName


class Database(Section):
    """The MySQL (or MariaDB) database that ML Metadata lives in."""

    host: HostName
    port: int = Field(3306, ge=1, le=65_535)
    name: str = Field("kembar", min_length=1, description="the database; it has to exist")
    secret: ObjectName = Field(description="the secret with user name and password")
    user_key: SecretKeyName = "username"
    password_key: SecretKeyName = "password"  # noqa: S105 - the name of a key


class Toleration(Section):
    """A taint of nodes that a step may run on all the same."""

    key: LabelKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError('operator = "Exists" takes no value: remove it')
        if self.operator == "Equal" and self.key is None:
            raise ValueError('operator = "Equal" needs key: add it, or use operator = "Exists"')
        return self


class StepResources(Section):
    """The resources that one step requests of the cluster."""

    image: Image | None = Field(None, description="in place of [kubeflow] image")
    cpu: Cpu | None = Field(None, description="cores asked for, such as '2' or '500m'")
    cpu_limit: Cpu | None = None
    memory: Memory | None = Field(None, description="memory asked for, such as '4Gi'")
    memory_limit: Memory | None = None
    shared_memory: Memory | None = Field(
        None,
        description="size of /dev/shm; left out: as the pod's memory with several accelerators, else 64 MB",
    )
    accelerator: ResourceName = Field(
        "nvidia.com/gpu", description="the resource that a GPU is to Kubernetes"
    )
    accelerators: Count = Field(0, description="GPUs; a step that then sees fewer fails at once")
    node_selector: dict[LabelKey, LabelValue] = Field({}, description="labels that the node must have")
    tolerations: tuple[Toleration, ...] = ()
    retries: Count = Field(0, description="times that a failed step is started again")
    retry_delay_seconds: Count = 30
    timeout_seconds: Seconds | None = Field(
        None, description="for one try, from when a node has taken the pod; not while it waits for one"
    )

    @property
    def has_shared_memory(self) -> bool:
        """True where the pod gets a /dev/shm of its own: NCCL between several GPUs needs more than 64 MB."""
        return self.shared_memory is not None or self.accelerators > 1

    def over(self, default: StepResources) -> StepResources:
        """These, and the default's where nothing is said."""
        return default.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Kubeflow(Section):
    """The `[kubeflow]` section: images, volumes, the metadata database and what each step asks for."""

    image: Image = Field(description="what `make image` built, by its name in the registry")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[ObjectName, ...] = ()
    host: str | None = Field(None, description="address of the KFP API, for submit and schedule")
    namespace: DnsLabel | None = Field(None, description="the user's namespace; none in single-user KFP")
    experiment: str = Field(
        "kembar", min_length=1, max_length=128, description="the experiment that runs are listed under"
    )
    service_account: ObjectName | None = None
    run_timeout_seconds: Seconds = Field(
        86_400,
        description="a run that has not ended by then is ended by `submit --wait` and `schedule watch`, also "
        "one whose pod no node takes",
    )
    volume_claim: DnsLabel = Field(description="a ReadWriteMany claim that all steps mount")
    mount_path: MountPath = Field("/mnt/kembar", description="where the steps find the claim")
    pipeline_root: ContainerPath | None = Field(
        None, description="artifacts and served versions; default: MOUNT_PATH/NAME of the pipeline"
    )
    database: Database | None = Field(
        None, description="without one, SQLite in pipeline_root, and one step after the other"
    )
    environment: dict[OwnVariable, SecretKey | str] = Field(
        {}, description="variables of all steps: a text, or a secret's key"
    )
    webhook: SecretKey | None = Field(None, description="where the URL is that hears how a run has ended")
    default: StepResources = StepResources()
    steps: dict[str, StepResources] = Field({}, description="by component id, over default")
    overrides: dict[str, Any] = Field(
        {}, description="values of other sections that hold in the cluster only: [kubeflow.overrides.data]"
    )

    def root(self, pipeline: str) -> Path:
        """Where the steps of a pipeline keep artifacts, records and versions, as they see it."""
        return Path(self.pipeline_root or Path(self.mount_path, pipeline))

    def resources(self, step: str) -> StepResources:
        """Return the resources that `step` requests."""
        return self.steps.get(step, StepResources()).over(self.default)

    @model_validator(mode="after")
    def _asks_within_limits(self) -> Self:
        for step in ("", *self.steps):
            wanted, section = self.resources(step), f"steps.{step}" if step else "default"
            for key, limit, size in (
                ("cpu", "cpu_limit", millicores_of),
                ("memory", "memory_limit", bytes_of),
                ("shared_memory", "memory_limit", bytes_of),
            ):
                requested, most = getattr(wanted, key), getattr(wanted, limit)
                if requested is not None and most is not None and size(requested) > size(most):
                    raise ValueError(
                        f"{section}: {key} = {requested!r} is more than {limit} = {most!r}, as default and "
                        "step say: Kubernetes refuses such a pod: raise the limit or ask for less"
                    )
        return self

    @model_validator(mode="after")
    def _environment_can_be_set(self) -> Self:
        for name, value in self.environment.items():
            if isinstance(value, str) and "{{" in value:
                raise ValueError(
                    f"environment.{name} = {value!r}: KFP and Argo replace '{{{{': write it without"
                )
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"environment.{name} = {value!r}: Linux ends a variable at \\0: remove it")
        return self


def _check_cron(cron: str) -> str:
    Cron.parse(cron)
    return " ".join(cron.split())


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone: take a name such as UTC or Europe/Berlin") from None
    return name


class Schedule(Section):
    """The `[schedule]` section: when the pipeline runs by itself."""

    cron: Annotated[str, AfterValidator(_check_cron)] = Field(
        description="minute hour day month weekday, or 6 fields with seconds first"
    )
    timezone: Annotated[str, AfterValidator(_check_zone)] = Field(
        "UTC", description="the time zone of cron, by its name in the IANA's database"
    )
    by: Literal["systemd", "cron", "kubeflow"] | None = Field(
        None, description="left out: kubeflow where there is a section [kubeflow], else systemd"
    )
    enabled: bool = True
    parameters: dict[str, Any] = Field({}, description="run parameters, as --param of submit; Kubeflow only")


class VertexStep(Section):
    """The resources that one step requests of the managed service."""

    cpu: PositiveFloat | None = Field(None, description="cores")
    memory_gb: PositiveFloat | None = None
    accelerator: str = Field("NVIDIA_L4", description="the service's name of the GPU")
    accelerators: NonNegativeInt = 0


class Vertex(Section):
    """The `[vertex]` section: the same graph on Google's managed service, by TFX's own runner."""

    image: str = Field(min_length=1, description="what `make image` built, by its name in the registry")
    pipeline_root: str = Field(
        pattern=r"^gs://[a-z0-9][-a-z0-9_.]{1,61}[a-z0-9](/[^/]+)*$", description="gs://BUCKET/FOLDER"
    )
    steps: dict[str, VertexStep] = Field({}, description="by component id")
    overrides: dict[str, Any] = Field({}, description="as in [kubeflow]; paths are below /gcs/BUCKET")
