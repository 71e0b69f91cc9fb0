"""The `[kubeflow]`, `[schedule]` and `[vertex]` sections: where and when a cluster runs the pipeline."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.scheduling.cron import Cron
from trainer.config import Section

# What both kfp and Kubernetes take: kfp knows no fractions of memory, Kubernetes no "K".
_CPU = r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$"
_MEMORY = r"^[0-9]+(Ki|[MGTPE]i?)?$"
# What Kubernetes calls a DNS-1123 subdomain: claims, secrets, accounts.
_OBJECT = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

Cpu = Annotated[str, Field(pattern=_CPU)]
Memory = Annotated[str, Field(pattern=_MEMORY)]
ObjectName = Annotated[str, Field(pattern=_OBJECT)]
VariableName = Annotated[str, Field(pattern=_VARIABLE)]


def _absolute(path: str) -> str:
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("write an absolute path without '..', as the containers see it")
    return str(PurePosixPath(path))


ContainerPath = Annotated[str, AfterValidator(_absolute)]


class SecretKey(Section):
    """One key of a Kubernetes secret; its value never comes here."""

    secret: ObjectName
    key: str = Field(min_length=1)


class Database(Section):
    """The MySQL (or MariaDB) database that ML Metadata lives in."""

    host: str = Field(min_length=1)
    port: int = Field(3306, ge=1, le=65_535)
    name: str = Field("kembar", min_length=1, description="the database; it has to exist")
    secret: ObjectName = Field(description="the secret with user name and password")
    user_key: str = "username"
    password_key: str = "password"  # noqa: S105 - the name of a key


class Toleration(Section):
    """A taint of nodes that a step may run on all the same."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError('operator = "Exists" takes no value: remove it')
        if self.operator == "Equal" and self.key is None:
            raise ValueError('operator = "Equal" needs key: add it, or use operator = "Exists"')
        return self


class StepResources(Section):
    """What one step asks of the cluster."""

    image: str | None = Field(None, min_length=1, description="in place of [kubeflow] image")
    cpu: Cpu | None = Field(None, description="cores asked for, such as '2' or '500m'")
    cpu_limit: Cpu | None = None
    memory: Memory | None = Field(None, description="memory asked for, such as '4Gi'")
    memory_limit: Memory | None = None
    accelerator: str = Field("nvidia.com/gpu", description="the resource that a GPU is to Kubernetes")
    accelerators: NonNegativeInt = Field(0, description="GPUs; a step that then sees fewer fails at once")
    node_selector: dict[str, str] = Field({}, description="labels that the node must have")
    tolerations: tuple[Toleration, ...] = ()
    retries: NonNegativeInt = Field(0, description="times that a failed step is started again")
    retry_delay_seconds: NonNegativeInt = 30
    timeout_seconds: PositiveInt | None = None

    def over(self, default: StepResources) -> StepResources:
        """These, and the default's where nothing is said."""
        return default.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Kubeflow(Section):
    """The `[kubeflow]` section: images, volumes, the metadata database and what each step asks for."""

    image: str = Field(min_length=1, description="what `make image` built, by its name in the registry")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[ObjectName, ...] = ()
    host: str | None = Field(None, description="address of the KFP API, for submit and schedule")
    namespace: ObjectName | None = Field(None, description="the user's namespace; none in single-user KFP")
    experiment: str = Field("kembar", description="the experiment that runs are listed under")
    service_account: ObjectName | None = None
    volume_claim: ObjectName = Field(description="a ReadWriteMany claim that all steps mount")
    mount_path: ContainerPath = Field("/mnt/kembar", description="where the steps find the claim")
    pipeline_root: ContainerPath | None = Field(
        None, description="artifacts and served versions; default: MOUNT_PATH/NAME of the pipeline"
    )
    database: Database | None = Field(
        None, description="without one, SQLite in pipeline_root, and one step after the other"
    )
    environment: dict[VariableName, SecretKey] = Field({}, description="variables whose values are secrets")
    webhook: SecretKey | None = Field(None, description="where the URL is that hears how a run has ended")
    default: StepResources = StepResources()
    steps: dict[str, StepResources] = Field({}, description="by component id, over default")
    overrides: dict[str, Any] = Field(
        {},
        description="values of other sections that hold in the cluster only: [kubeflow.overrides.data]",
    )

    def resources(self, step: str) -> StepResources:
        """What `step` asks for."""
        return self.steps.get(step, StepResources()).over(self.default)


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
    """What one step asks of the managed service."""

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
