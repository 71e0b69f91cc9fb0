"""Which versions are served, in TF Serving's own words: a model config file beside the version folders.

`DIR/serving/models.config` is a ModelServerConfig in text format. TF Serving reads it with
`--model_config_file`, and again every `--model_config_file_poll_wait_seconds`; `kembar serve` follows the
same file. Without it, or without a pin in it, the newest version is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.atomic_pusher.files import exclusive, replace_file
from trainer.errors import ServingError

FILE = "models.config"
STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Pins:
    """What the file says of one model.

    Attributes:
      versions: The versions to load, lowest first; empty: the newest one.
      labels: Label to version. A request that names neither version nor label goes to the highest loaded.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def config_file(serving: Path) -> Path:
    """The file's place: beside the folder `serving`, which holds the versions of one model."""
    return serving.parent / FILE


def read_pins(serving: Path) -> Pins | None:
    """The pins of the model whose versions are in `serving`; None: nothing is pinned or labelled.

    The file may hold other models too: an entry is this model's if its base path ends as `serving` does.

    Raises:
      ServingError: the file is no ModelServerConfig, or has a policy that is not followed here.
    """
    entry = _entry_of(_read(config_file(serving)), serving)
    if entry is None:
        return None
    _check_policy(entry, config_file(serving))
    pins = Pins(
        tuple(sorted(entry.model_version_policy.specific.versions)),
        dict(sorted(entry.version_labels.items())),
    )
    return pins if pins.versions or pins.labels else None


def write_pins(serving: Path, name: str, pins: Pins | None) -> Path:
    """Makes the file say `pins` of this model, or that its newest version is served; in one rename.

    What else the file says stays: other models, and this one's base path, which can be another where TF
    Serving sees the folder under another path.

    Args:
      serving: The folder of the versions.
      name: The model's name in requests, for an entry that is not there yet.
      pins: What to serve; None: the newest version, without labels.

    Returns:
      The file.
    Raises:
      ServingError: the file that is there is no ModelServerConfig, or cannot be written.
    """
    path = config_file(serving)
    try:
        _write(path, serving, name, pins)
    except OSError as error:
        raise ServingError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def pins_elsewhere(serving: Path, name: str, base_path: str) -> str:
    """What a model config file says of this model alone, for a TF Serving that sees it under `base_path`.

    Raises:
      ServingError: the file that is here is no ModelServerConfig.
    """
    entry = _entry_of(_read(config_file(serving)), serving)
    config = model_server_config_pb2.ModelServerConfig()
    copy = config.model_config_list.config.add()
    if entry is not None:
        copy.CopyFrom(entry)
    else:
        copy.model_version_policy.latest.num_versions = 1
    copy.name, copy.base_path, copy.model_platform = name, base_path, "tensorflow"
    return text_format.MessageToString(config)


def _write(path: Path, serving: Path, name: str, pins: Pins | None) -> None:
    with exclusive(path.parent):  # other models may be in the same file
        config = _read(path)
        entry = _entry_of(config, serving)
        if entry is None:
            entry = config.model_config_list.config.add(
                name=name, base_path=str(serving), model_platform="tensorflow"
            )
        entry.ClearField("model_version_policy")
        entry.ClearField("version_labels")
        if pins is None or not pins.versions:
            entry.model_version_policy.latest.num_versions = 1
        else:
            entry.model_version_policy.specific.versions.extend(sorted(pins.versions))
        if pins is not None:
            entry.version_labels.update(pins.labels)
        replace_file(path, text_format.MessageToString(config))


def _read(path: Path) -> Any:
    config = model_server_config_pb2.ModelServerConfig()
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), config)
    except FileNotFoundError:
        return config
    except (text_format.ParseError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ServingError(
            f"{path}: not a model config file of TF Serving: {said}: correct it or delete it"
        ) from None


def _entry_of(config: Any, serving: Path) -> Any:
    for entry in config.model_config_list.config:
        if PurePosixPath(entry.base_path).name == serving.name:
            return entry
    return None


def _check_policy(entry: Any, path: Path) -> None:
    """Refuses what TF Serving would follow and this does not: to be silent would serve other versions."""
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        asked = "all {}"
    elif kind == "latest" and policy.latest.num_versions > 1:
        asked = f"latest {{ num_versions: {policy.latest.num_versions} }}"
    else:
        return
    raise ServingError(
        f"{path}: model '{entry.name}': {asked} is not followed here: name the versions, with "
        "specific { versions: ... }, or serve the newest, with latest { num_versions: 1 }"
    )
