"""TFX wiring of the ingestion."""

from __future__ import annotations

import json
import os
from pathlib import Path

from google.protobuf import wrappers_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from components.example_gen.config import SPLITS, Data
from components.example_gen.executor import Executor


class ExampleGen(FileBasedExampleGen):
    """ExampleGen for texts and vectors; TFX's driver finds the files and fingerprints them."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, data: Data, code: str) -> None:
        """Args: `data`, the section of the configuration; `code`, the fingerprint of our source."""
        files = {name: str(Path(path).absolute()) for name, path in data.files().items()}
        base = os.path.commonpath([os.path.dirname(path) for path in files.values()])
        # TFX's fingerprint of a file knows its size and the second of its last change; this knows more.
        # Where the pipeline is compiled for another machine there is no file to look at.
        changed = {name: os.stat(path).st_mtime_ns for name, path in files.items() if os.path.exists(path)}
        # A new schema makes no new examples.
        rows = data.model_dump(mode="json", exclude={"schema_file", "schema_text"})
        told = {"data": rows, "code": code, "changed": changed}
        text = json.dumps(told, sort_keys=True)
        config = example_gen_pb2.CustomConfig()
        config.custom_config.Pack(wrappers_pb2.StringValue(value=text))
        super().__init__(
            input_base=base,
            input_config=example_gen_pb2.Input(
                splits=[
                    example_gen_pb2.Input.Split(name=name, pattern=os.path.relpath(path, base))
                    for name, path in files.items()
                ]
            ),
            # The executor divides a single source itself; TFX only has to know the names.
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(
                    splits=[example_gen_pb2.SplitConfig.Split(name=split, hash_buckets=1) for split in SPLITS]
                )
            )
            if data.path is not None
            else None,
            custom_config=config,
        )
