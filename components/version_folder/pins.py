"""Pins of the versions to serve, in TF Serving's own words: a model config file beside the version folders.

`DIR/serving/models.config` is a ModelServerConfig in text format. TF Serving reads it with
`--model_config_file`, and again every `--model_config_file_poll_wait_seconds`; `kembar serve` follows the
same file. Without it, or without a pin in it, the newest version is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.version_folder.model_config import ConfigText, wrong_file
from trainer.errors import ServingError
from trainer.files import exclusive, replace_file

FILE = "models.config"
STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Pins:
    """The pins and labels of one model.

    Attributes:
      versions: The versions to load, lowest first; empty: the newest one.
      labels: Label to version. A request that names neither version nor label goes to the highest loaded.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def config_file(serving: Path) -> Path:
    """The file's path: beside the folder `serving`, which holds the versions of one model."""
    return serving.parent / FILE


def read_pins(serving: Path, name: str = "") -> Pins | None:
    """The pins of the model `name`, whose versions are in `serving`; None: nothing is pinned or labelled.

    The file may hold other models too. TF Serving tells them apart by their names, and so does this. Without
    a name it is that of the folder.

    Raises:
      ServingError: the file is no ModelServerConfig, or says of this model what is not known.
    """
    path = config_file(serving)
    entry = _read(path).find(name or serving.name)
    pins = Pins() if entry is None else _pins_of(entry.message, path)
    return pins if pins.versions or pins.labels else None


def pinned_by_others(serving: Path, name: str = "") -> set[int]:
    """Versions in `serving` that other entries of the file name: the same folder under another name.

    Raises:
      ServingError: the file is no ModelServerConfig, or has a policy that is not followed here.
    """
    path = config_file(serving)
    pinned: set[int] = set()
    for entry in _read(path).entries:
        if entry.message.name != (name or serving.name) and Path(entry.message.base_path) == serving:
            pins = _pins_of(entry.message, path)
            pinned |= {*pins.versions, *pins.labels.values()}
    return pinned


def write_pins(serving: Path, name: str, pins: Pins | None) -> Path:
    """Makes the file say `pins` of this model, or that its newest version is served; in one rename.

    What else the file says stays, to the character: other models, comments, and this one's base path, which
    can be another where TF Serving sees the folder under another path. Whoever decides by what versions
    there are holds the lock of `serving` meanwhile.

    Args:
      serving: The folder of the versions.
      name: The model's name in requests.
      pins: What to serve; None: the newest version, without labels.

    Returns:
      The file.
    Raises:
      ServingError: the file that is there is no ModelServerConfig, or cannot be written.
    """
    path = config_file(serving)
    pins = pins or Pins()
    named = {"name": name, "base_path": str(serving), "model_platform": "tensorflow"}
    message = model_server_config_pb2.ModelConfig(**named, version_labels=pins.labels)
    if pins.versions:
        message.model_version_policy.specific.versions.extend(sorted(pins.versions))
    else:
        message.model_version_policy.latest.num_versions = 1
    try:
        with exclusive(path.parent):  # other models may be in the same file
            replace_file(path, _read(path).with_pins(message))
    except OSError as error:
        raise ServingError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def pins_elsewhere(serving: Path, name: str, base_path: str) -> str:
    """A model config file of this model alone, for a TF Serving that sees it under `base_path`.

    Raises:
      ServingError: the file that is here is no ModelServerConfig.
    """
    entry = _read(config_file(serving)).find(name)
    config = model_server_config_pb2.ModelServerConfig()
    copy = config.model_config_list.config.add()
    if entry is not None:
        copy.CopyFrom(entry.message)
    else:
        copy.model_version_policy.latest.num_versions = 1
    copy.name, copy.base_path, copy.model_platform = name, base_path, "tensorflow"
    return text_format.MessageToString(config)


def _pins_of(message: Any, path: Path) -> Pins:
    """The pins of an entry; what TF Serving would follow and this does not is refused.

    To be silent would serve other versions.
    """
    policy, written = message.model_version_policy, ""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all" or (kind == "specific" and not policy.specific.versions):
        written = f"{kind} {{}}"
    elif kind == "latest" and policy.latest.num_versions > 1:
        written = f"latest {{ num_versions: {policy.latest.num_versions} }}"
    if written:
        raise ServingError(
            f"{path}: model '{message.name}': {written} is not followed here: name the versions, with "
            "specific { versions: ... }, or serve the newest, with latest { num_versions: 1 }"
        )
    return Pins(tuple(sorted(policy.specific.versions)), dict(sorted(message.version_labels.items())))


def _read(path: Path) -> ConfigText:
    try:
        return ConfigText(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ConfigText(path, "")
    except UnicodeDecodeError as error:
        raise wrong_file(path, str(error)) from None
