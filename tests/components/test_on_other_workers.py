"""Ingestion, statistics and vocabulary on Beam's own job service, with workers in other processes.

This is what Flink and Spark clusters ask of the code: what only works in the process that built the graph
fails here.
"""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from components.example_gen.data_config import SPLITS
from components.tfrecords import read_batches

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A process of its own: it asks for another runner than the other tests.
PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
import apache_beam as beam
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata
from components.example_gen.data_config import DataSection
from components.example_gen.executor import write_examples
from components.schema_gen.default import default_schema
from components.tfrecords import BatchedExamples, write_batches
from components.transform.component import _Encode
from trainer.preprocessing import preprocessing_fn
from trainer.spec import Spec
from trainer.text.form import TextForm

folder, options = Path({folder!r}), PipelineOptions({options!r})
label = {{"column": "same", "kind": "binary"}}
data = DataSection(format="csv", path=folder / "pairs.csv", text_a="a", text_b="b", label=label)
with beam.Pipeline(options=options) as pipeline:
    _ = pipeline | write_examples(data, str(folder / "examples"), TextForm())

schema = text_format.Parse(default_schema(data), schema_pb2.Schema())
source = BatchedExamples([str(folder / "examples/Split-train/*")], schema=schema, telemetry_descriptors=["t"])
stats = tfdv.StatsOptions(experimental_use_sketch_based_topk_uniques=True)
with beam.Pipeline(options=options) as pipeline:
    _ = (
        pipeline | source.BeamSource() | tfdv.GenerateStatistics(stats)
        | tfdv.WriteStatisticsToBinaryFile(str(folder / "statistics.pb"))
    )

spec = Spec(label=data.label).model_dump_json()
with beam.Pipeline(options=options) as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
    rows = (pipeline | source.BeamSource(), source.TensorAdapterConfig())
    graph = rows | tft_beam.AnalyzeDataset(lambda inputs: preprocessing_fn(inputs, {{"spec": spec}}))
    (transformed, metadata) = (rows, graph) | tft_beam.TransformDataset(output_record_batches=True)
    _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
    _ = transformed | beam.ParDo(_Encode(metadata.schema)) | write_batches(str(folder / "transformed"))
print("done", flush=True)
import os; os._exit(0)
"""


def start(command: list[str], log: Path) -> subprocess.Popen:
    # The pool starts `python` from PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=ROOT)


def port_in(log: Path, pattern: str, process: subprocess.Popen) -> str:
    for _ in range(600):
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()[-2_000:]
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2_000:])


@pytest.fixture
def options(tmp_path):
    """Beam's job service, and a pool of workers that it calls."""
    service = start(
        [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", "--port=0"],
        tmp_path / "service.log",
    )
    job = port_in(tmp_path / "service.log", r"Listening for beam jobs on port (\d+)", service)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = start(
        [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"],
        tmp_path / "pool.log",
    )
    yield [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{job}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{port}",
    ]
    for process in (service, pool):
        process.terminate()
        process.wait(timeout=30)


def run_program(folder: Path, options: list[str]) -> dict[str, int]:
    """Runs it on pairs of words; the counts of the rows."""
    folder.mkdir(exist_ok=True)
    (folder / "tmp").mkdir()
    pairs = [(f"left words {at}", f"right words {at}", at % 2) for at in range(500)]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "same"], *pairs, ["", "y", 1]])
    program = PROGRAM.format(
        root=str(ROOT), tests=str(Path(__file__).parent), folder=str(folder), options=options
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert ran.stdout.endswith("done\n"), ran.stderr[-3_000:]
    return json.loads((folder / "examples/counts.json").read_text())["sources"]["path"]


def test_workers_in_other_processes_write_the_same(tmp_path, options):
    there = run_program(tmp_path / "there", options)
    assert there["read"] == 501
    assert there["empty text"] == 1
    assert sum(there[f"kept in {split}"] for split in SPLITS) == 500
    # The runner of all other tests.
    assert run_program(tmp_path / "here", ["--runner=FnApiRunner"]) == there
    vocabulary = "graph/transform_fn/assets/tokens"
    tokens = [(tmp_path / place / vocabulary).read_text() for place in ("here", "there")]
    assert tokens[0] == tokens[1]
    assert "words" in tokens[0].split()
    rows = []
    for place in ("here", "there"):
        files = sorted(map(str, (tmp_path / place).glob("transformed-*.gz")))
        rows.append(sorted(_ids(record) for batch in read_batches(files) for record in batch))
    assert rows[0] == rows[1]
    assert len(rows[0]) == there["kept in train"]
    assert (tmp_path / "there/statistics.pb").stat().st_size > 100


def _ids(serialized: bytes) -> list[int]:
    features = tf.train.Example.FromString(serialized).features.feature
    return [*features["ids_a"].int64_list.value, *features["ids_b"].int64_list.value]
