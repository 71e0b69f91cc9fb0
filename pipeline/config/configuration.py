"""The configuration file, read once into frozen models; whatever is wrong with it is one line."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from components.bulk_inferrer.bulk_config import Bulk
from components.data_gate.validation_config import Validation
from components.example_gen.data_config import DataSection
from components.example_gen.paths import local_path
from components.quality_gate.decision import Gates
from components.retraining_gate.retraining_config import Retraining
from pipeline.config.cluster import Kubeflow, Schedule, Vertex
from pipeline.config.mistakes import sentence_of
from pipeline.config.notification import Notify
from pipeline.config.toml import check_strings, is_deep, parse_value, read_toml
from pipeline.serving.serving_config import Serving
from trainer.errors import ConfigError
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.section import Section, path_keys
from trainer.spec import (
    AnyModel,
    AnyTraining,
    Spec,
    VectorSpec,
    check_pair,
    check_parts,
    check_range,
    check_training,
    check_weights,
    narrow,
)
from trainer.tuning import Tuning, check_shape, check_space

# A path that begins so is a file inside an installed package.
PACKAGE = "package:"
# Names in the key of a setting, and characters of one that are shown.
_DEEPEST, _SHOWN = 9, 80


class Pipeline(Section):
    """The `[pipeline]` section."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="names the run's folder and the served model"
    )


class Beam(Section):
    """The `[beam]` section: options passed through to Apache Beam."""

    # Beam's DirectRunner tries to download another runner first; this one is in the package. It works in
    # this process and uses no image, but where none is named TFX builds a source package of itself for
    # the workers, before every step.
    options: tuple[str, ...] = ("--runner=FnApiRunner", "--sdk_container_image=unused")


class Config(Section):
    """A whole configuration."""

    pipeline: Pipeline
    data: DataSection
    validation: Validation = Validation()
    model: AnyModel = PairModel()
    training: AnyTraining = PairTraining()
    tuning: Tuning | None = None
    gates: Gates = Gates()
    serving: Serving = Serving()
    bulk: Bulk | None = None
    beam: Beam = Beam()
    notify: Notify = Notify()
    retraining: Retraining | None = None
    kubeflow: Kubeflow | None = None
    schedule: Schedule | None = None
    vertex: Vertex | None = None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_parts(self.model, self.data.label, self.data.vector is not None)
        check_weights(self.model)
        check_range(self.model, None if self.data.vector is None else self.data.vector.range)
        check_training(self.training, self.data.label)
        check_pair(self.model, self.training)
        if self.tuning is not None:
            check_space(self.tuning, self.spec)
            if self.retraining is not None and self.retraining.warm_start:
                check_shape(self.tuning, self.spec)
        if self.bulk is not None:
            self.bulk.data(self.data)
        return self

    @property
    def spec(self) -> Spec:
        """The part that the trainer is told."""
        vector = self.data.vector
        return Spec(
            label=self.data.label,
            vector=None
            if vector is None
            else VectorSpec(
                dimension=vector.dimension,
                range=vector.range,
                names=vector.columns or (narrow(vector.column, str),),
            ),
            model=self.model,
            training=self.training,
        )


def load(path: Path, settings: Iterable[str] = ()) -> Config:
    """Reads a configuration file and puts `section.key=value` settings on top.

    Paths in the file are relative to it, paths in settings to the current folder.

    Raises:
      ConfigError: one line that names file, key, value and fix.
    """
    return validate(read(path, settings), str(path))


def read(path: Path, settings: Iterable[str] = ()) -> dict[str, Any]:
    """Read the values of file and settings, with absolute paths; nothing is checked yet.

    Raises:
      ConfigError: the file is missing or no TOML, or a setting is not one.
    """
    values = read_toml(path)
    try:
        make_absolute(values, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    lay_over(values, settings_table(settings, Path.cwd()))
    return values


def validate(values: dict[str, Any], source: str) -> Config:
    """The configuration that `values` are, as `read` gives them.

    Raises:
      ConfigError: one line that names `source`, key, value and fix.
    """
    values = copy.deepcopy(values)
    check_strings(values, source)
    change_paths(values, _unpacked)
    _name_family(values)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence_of(error, Config)}") from None


def settings_table(settings: Iterable[str], base: Path) -> dict[str, Any]:
    """`section.key=value` settings as nested tables; their paths are relative to `base`."""
    table: dict[str, Any] = {}
    for setting in settings:
        _apply(table, setting)
    make_absolute(table, base)
    return table


def _apply(override: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    *sections, name = key.strip().split(".")
    if not (equals and sections and all(sections) and name):
        raise ConfigError(
            f"--set {setting}: write it as section.key=value, for example --set training.epochs=3"
        )
    value = parse_value(text)
    if is_deep(value) or len(sections) > _DEEPEST:
        raise ConfigError(f"--set {setting[:_SHOWN]}: nested too deeply")
    for part in sections:
        override = override.setdefault(part, {})
        if not isinstance(override, dict):
            raise ConfigError(f"--set {setting}: {part} has been set to one value already")
    override[name] = value


def lay_over(values: dict[str, Any], override: dict[str, Any], inner: bool = False) -> None:
    """Puts `override` on top of `values`, key by key; a section that is no table is left to be reported."""
    for key, value in override.items():
        below = values.setdefault(key, {}) if isinstance(value, dict) else None
        if isinstance(below, dict):
            lay_over(below, value, inner=True)
        elif inner or not isinstance(value, dict):
            values[key] = value


def _name_family(values: dict[str, Any]) -> None:
    """`[model] family` says which keys `[training]` has too; left out, it is "pair"."""
    model, training = (values.setdefault(section, {}) for section in ("model", "training"))
    if isinstance(model, dict):
        model.setdefault("family", "pair")
        if isinstance(training, dict):
            training["family"] = model["family"]


def make_absolute(values: dict[str, Any], base: Path) -> None:
    """Makes relative paths absolute, in place; `package:` paths stay.

    Raises:
      ConfigError: a path is none of this machine, such as an address of an object store.
    """

    def absolute(written: str, key: str) -> str:
        try:
            return written if written.startswith(PACKAGE) else local_path(written, base)
        except ValueError as error:
            raise ConfigError(f"{key} = {json.dumps(written, ensure_ascii=False)}: {error}") from None

    change_paths(values, absolute)


def change_paths(values: dict[str, Any], change: Callable[[str, str], str]) -> None:
    """Puts `change(path, "[section] key")` in place of every path that is there, in a list too."""
    for section, key in dict.fromkeys(path_keys(Config)):
        table: Any = values
        for part in section.split("."):
            table = table.get(part) if isinstance(table, dict) else None
        written = table.get(key) if isinstance(table, dict) else None
        full_key = f"[{section}] {key}"
        if isinstance(written, str):
            table[key] = change(written, full_key)
        elif isinstance(written, list):
            table[key] = [change(path, full_key) if isinstance(path, str) else path for path in written]


def _unpacked(written: str, key: str) -> str:
    if not written.startswith(PACKAGE):
        return written
    name, _, inside = written.removeprefix(PACKAGE).partition("/")
    try:
        package = importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # __main__
        package = None
    if package is None or not package.submodule_search_locations:
        raise ConfigError(f"{key} = {written!r}: no package {name!r} is installed: run make setup")
    return str(Path(next(iter(package.submodule_search_locations))) / inside)
