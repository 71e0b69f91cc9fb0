"""Checks of a configuration's files before any component starts."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.example_gen.paths import matching, why_missing
from components.example_gen.reader import check_files
from pipeline.config.configuration import Config
from trainer.errors import ConfigError, KembarError
from trainer.pair.pair_config import PairModel
from trainer.pair.vectors import check_vectors
from trainer.pair.weight_folders import check_folder, check_layers


def preflight(source: str, config: Config) -> None:
    """Check every file that the configuration names, before any component starts.

    Raises:
      ConfigError: naming configuration, key, value and fix.
    """
    schema, written = config.data.schema_file, config.data.schema_text
    if schema is not None and not schema.is_file():
        raise ConfigError(f"{source}: [data] schema_file = {str(schema)!r}: no such file: correct the path")
    sources = {f"[data] {key}": names for key, names in config.data.sources().items()}
    if config.bulk is not None:
        sources["[bulk] input"] = config.bulk.input
    for key, names in sources.items():
        for name in names:
            if not matching(name):
                raise ConfigError(f"{source}: {key} = {str(name)!r}: {why_missing(name)}")
    schema_key = f"[data] schema_file: {schema}" if schema is not None else "[data] schema_text"
    try:
        text_format.Parse(
            written or (schema.read_text(encoding="utf-8") if schema else ""), schema_pb2.Schema()
        )
    except (text_format.ParseError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{source}: {schema_key}: {error}") from None
    _check_files(source, config)


def _check_files(source: str, config: Config) -> None:
    """Check the content of the files."""
    if isinstance(config.model, PairModel) and (config.model.weights or config.model.token_vectors):
        try:
            if config.model.weights is not None:
                check_folder(config.model.weights)
                check_layers(config.model)
                for layers in config.tuning.space.get("model.layers", ()) if config.tuning else ():
                    if layers is not None:
                        check_layers(config.model.model_copy(update={"layers": tuple(layers)}))
            check_vectors(config.model)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
    read = [(f"[data] {key}", files, config.data) for key, files in config.data.files().items()]
    if config.bulk is not None:
        unlabelled = config.bulk.data(config.data)
        read.append(("[bulk] input", unlabelled.files()["path"], unlabelled))
    for key, files, data in read:
        try:
            check_files(files, data)
        except KembarError as error:
            raise type(error)(f"{source}: {key}: {error}") from None
