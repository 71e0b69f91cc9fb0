"""TFX wiring of the ingestion."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from google.protobuf import wrappers_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from components.example_gen.data_config import SPLITS, DataSection
from components.example_gen.executor import Executor
from components.example_gen.paths import for_pattern
from components.example_gen.spans import Carry
from trainer.text.form import TextForm


class ExampleGen(FileBasedExampleGen):
    """ExampleGen for texts and vectors; TFX's driver sees that the files are there."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, data: DataSection, code: str, form: TextForm, carry: Carry | None = None) -> None:
        """Args: `data`, the section of the configuration, its files those of one span where `carry` says so;
        `code`, the fingerprint of our source; `form`, how the model reads texts.
        """
        # TFX knows one pattern a source. The executor reads all of them.
        files = data.files()
        named = data.sources().items()
        first = {key: for_pattern(os.path.abspath((files[key] or names)[0])) for key, names in named}
        base = os.path.commonpath([os.path.dirname(path) for path in first.values()])
        document = {
            # A new schema makes no new examples.
            "data": data.model_dump(mode="json", exclude={"schema_file", "schema_text"}),
            "code": code,
            # TFX's fingerprint of a file knows its size and the second of its last change; this knows more,
            # and every file. Where the pipeline is compiled for another machine there is no file.
            "changed": states(data),
            "carry": None if carry is None else asdict(carry),
            "form": form.model_dump(),
        }
        config = example_gen_pb2.CustomConfig()
        config.custom_config.Pack(wrappers_pb2.StringValue(value=json.dumps(document, sort_keys=True)))
        inputs = [{"name": key, "pattern": os.path.relpath(path, base)} for key, path in first.items()]
        # The executor divides a single source itself; TFX only has to know the names.
        splits = {"splits": [{"name": split, "hash_buckets": 1} for split in SPLITS]}
        super().__init__(
            input_base=base,
            input_config=example_gen_pb2.Input(splits=inputs),
            output_config=example_gen_pb2.Output(split_config=splits) if data.path is not None else None,
            custom_config=config,
        )


def states(data: DataSection) -> dict[str, list[tuple[str, int, int]]]:
    """Path, size in bytes and time of the last change in nanoseconds of every file of each source."""
    return {
        key: [(str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in paths]
        for key, paths in data.files().items()
    }
