"""The configuration of a run in a cluster: the command of its first step has it, all others read it.

KFP and Argo keep a step's command several times over, so what stands in each of twenty steps outgrows what
Kubernetes stores. Packed it also holds nothing that KFP, Argo or Kubernetes would take for a placeholder.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config import configuration
from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from trainer.errors import ConfigError
from trainer.spec import narrow

# What the last task needs to tell of a run whose first step never started.
_FOR_EXIT_TASK = {
    "pipeline": None,
    "notify": None,
    "kubeflow": ("image", "volume_claim", "mount_path", "pipeline_root", "database"),
}
# The record of a run that its first step writes and all others read.
RECORD = "config"


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run, which change without compiling again."""

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


def _move_data(data: dict[str, Any], data_path: Path) -> None:
    """Puts the file `data_path` for `path`, or the files of that folder for `train`, `eval` and `test`."""
    if data.get("pattern"):
        raise ConfigError(
            f"data_path = {str(data_path)!r}: [data] pattern says where the spans are: "
            "put data.pattern=... into the run parameter settings"
        )
    if data.get("path"):
        data["path"] = str(data_path)
        return
    for split in ("train", "eval", "test"):
        written = data.get(split)
        if isinstance(written, list):
            data[split] = [str(data_path / PurePosixPath(path).name) for path in written]
        elif written:
            data[split] = str(data_path / PurePosixPath(written).name)


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


def root_of(config: Config) -> Path:
    """Where the steps keep artifacts, records and versions, as they see it."""
    return narrow(config.kubeflow, Kubeflow).root(config.pipeline.name)
