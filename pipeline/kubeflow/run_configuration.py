"""The configuration of a run in a cluster: the command of its first step has it, all others read it.

KFP and Argo keep a step's command several times over, so what stands in each of twenty steps outgrows what
Kubernetes stores. Packed it also holds nothing that KFP, Argo or Kubernetes would take for a placeholder.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from pipeline.kubeflow.records import Records
from trainer.errors import ConfigError

# What the last task needs to tell of a run whose first step never started.
_FOR_EXIT_TASK = {
    "pipeline": None,
    "notify": None,
    "kubeflow": ("image", "volume_claim", "mount_path", "pipeline_root", "database"),
}
_RECORD = "config"


def pack(values: dict[str, Any]) -> str:
    """A configuration as one word of letters, digits, '+', '/' and '='."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack(packed: str) -> dict[str, Any]:
    """Return the configuration that was packed.

    Raises:
      ConfigError: it is something else.
    """
    try:
        values = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ConfigError(f"--config {packed[:40]}: is not what `kembar compile` writes: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config {packed[:40]}: is not what `kembar compile` writes: no table")
    return values


def for_exit_task(values: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that is enough to tell that a run did not start."""
    return {
        section: {key: value for key, value in values[section].items() if keys is None or key in keys}
        for section, keys in _FOR_EXIT_TASK.items()
        if section in values
    }


def publish(records: Records, values: dict[str, Any]) -> None:
    """Write it where the other steps of the run read it."""
    records.write(_RECORD, values)


def read_published(records: Records) -> dict[str, Any] | None:
    """Return the configuration of the run; None where its first step has not written it."""
    return records.read(_RECORD)
