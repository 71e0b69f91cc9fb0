"""Names, quantities and paths that Kubernetes, KFP and Argo take, and what is said of others."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, NonNegativeInt, PositiveInt

# What both kfp and Kubernetes take: kfp knows no fractions of memory, Kubernetes no "K".
_CPU = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"
_MEMORY = r"^[0-9]+(Ki|[MGTPE]i?)?$"
# What Kubernetes calls a DNS-1123 subdomain (secrets, accounts) and a label (namespaces; a claim is the name
# of a volume too).
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
# Keys and values of labels, which taints have too.
_VALUE = r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?=[^/]{{1,253}}/){_SUBDOMAIN}/"
# A resource of a device plugin: always with a domain, which is none of Kubernetes' own.
_RESOURCE = rf"(?!requests\.)(?!.*kubernetes\.io/){_DOMAIN}{_VALUE}"
_PART = r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
_IMAGE = (
    rf"({_LABEL}(\.{_LABEL})*(:[0-9]+)?/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha(256:[0-9a-f]{64}|512:[0-9a-f]{128}))?"
)
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
# What KFP, Argo and Kubernetes replace wherever it stands; "$$" becomes "$".
PLACEHOLDER = re.compile(r"\{\{|\$[($]")
# Where KFP's and Argo's own volumes are in every pod, and what a container cannot be without: the kernel's
# folders, Kubernetes' token, the image's programs.
_TAKEN = (
    "/kfp-launcher", "/gcs", "/s3", "/minio", "/.local", "/.cache", "/.config", "/var/run/argo", "/run/argo",
    "/dev", "/proc", "/sys", "/var/run/secrets", "/run/secrets",
    "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt/kembar",
)  # fmt: skip
# KFP's launcher and Argo's sidecar go by variables of theirs.
_TAKEN_VARIABLES = ("KFP_", "ARGO_")


def _like(pattern: str, longest: int, fix: str, who: str = "Kubernetes takes") -> BeforeValidator:
    """A text that Kubernetes takes; else `fix` says what it would take."""

    def check(text: Any) -> Any:
        if not isinstance(text, str) or re.fullmatch(pattern, text) is None or len(text) > longest:
            raise ValueError(f"is not what {who}: write {fix}")
        return text

    return BeforeValidator(check)


def _within_32_bits(number: int) -> int:
    if number >= 2**31:
        raise ValueError("is more than 2147483647, to which Kubernetes counts: take less")
    return number


def _own(variable: str) -> str:
    if variable.startswith(_TAKEN_VARIABLES):
        raise ValueError("is a variable that KFP or Argo sets in every pod: take another name")
    return variable


_LETTERS = "letters, digits, '-', '_' and '.', a letter or digit first and last, at most 63"
_NAMES = "lower-case letters, digits and '-', a letter or digit first and last, at most 63"
_BOTH = "KFP and Kubernetes take"
Cpu = Annotated[str, _like(_CPU, 32, "cores such as '2' or '0.5', or thousandths such as '500m'", _BOTH)]
Memory = Annotated[
    str, _like(_MEMORY, 32, "a whole number and Ki, M, Mi, G, Gi and so on, such as '4Gi'", _BOTH)
]
ObjectName = Annotated[str, _like(_SUBDOMAIN, 253, f"{_NAMES}, such parts with '.' between them")]
DnsLabel = Annotated[str, _like(_DNS_LABEL, 63, _NAMES)]
LabelKey = Annotated[
    str, _like(rf"({_DOMAIN})?{_VALUE}", 317, f"{_LETTERS}; before it a domain and '/' where wanted")
]
LabelValue = Annotated[str, _like(f"({_VALUE})?", 63, f"a text in quotes: {_LETTERS}")]
ResourceName = Annotated[
    str, _like(_RESOURCE, 317, "a device plugin's domain, '/' and a name, such as 'nvidia.com/gpu'")
]
Image = Annotated[
    str, _like(_IMAGE, 255 + 256, "REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, the name in lower case")
]
SecretKeyName = Annotated[
    str,
    _like(r"(?!\.\.|\.$)[-._A-Za-z0-9]+", 253, "letters, digits, '-', '_' and '.', not '.' or '..' first"),
]
VariableName = Annotated[str, _like(_VARIABLE, 253, "letters, digits and '_', no digit first")]
OwnVariable = Annotated[VariableName, AfterValidator(_own)]
Count = Annotated[NonNegativeInt, AfterValidator(_within_32_bits)]
Seconds = Annotated[PositiveInt, AfterValidator(_within_32_bits)]


def _absolute(path: str) -> str:
    if "://" in path:
        raise ValueError(
            "an object store is no folder: records, versions and ML Metadata's artifacts are renamed into "
            "their place, which it cannot do: write a path on the volume; [serving] mirror copies versions"
        )
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("write an absolute path without '..', as the containers see it")
    if PLACEHOLDER.search(path) or ":" in path:
        raise ValueError("write a path without ':', '{{', '$(' and '$$', which Kubernetes reads as its own")
    return str(PurePosixPath("/", path.lstrip("/")))


def _free(path: str) -> str:
    if path in ("/", "/opt") or any(PurePosixPath(path).is_relative_to(taken) for taken in _TAKEN):
        raise ValueError(
            "is a folder that Kubernetes, KFP or the image has for itself: take another, such as /mnt/kembar"
        )
    return path


def _host(name: str) -> str:
    with suppress(ValueError):
        return str(ip_address(name))
    if re.fullmatch(r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?", name) is None:
        raise ValueError(
            "is neither a host's name nor its address: write it alone, the port has a key of its own"
        )
    return name


def bytes_of(memory: str) -> int:
    """How many bytes a quantity of memory is."""
    number = memory.rstrip("KMGTPEi")
    power = " KMGTPE".index(memory[len(number) : len(number) + 1] or " ")
    return int(number) * (1024 if memory.endswith("i") else 1000) ** power


def millicores_of(cpu: str) -> Decimal:
    """How many thousandths of a core a quantity is."""
    return Decimal(cpu.removesuffix("m")) * (1 if cpu.endswith("m") else 1000)


HostName = Annotated[str, AfterValidator(_host)]
ContainerPath = Annotated[str, AfterValidator(_absolute)]
MountPath = Annotated[ContainerPath, AfterValidator(_free)]
