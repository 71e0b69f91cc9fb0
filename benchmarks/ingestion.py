"""How long it takes from a file of pairs to transformed examples, and how much memory, against plain TFX.

    python benchmarks/ingestion.py compare --rows 400000      # plain TFX, then Kembar, the ratios last
    python benchmarks/ingestion.py kembar --rows 4000000      # memory as the file grows

Plain TFX is what its guide shows: CsvExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform
with a vocabulary of 10,000 words and texts padded to 100 tokens. Kembar's steps are those of its graph up to
Transform, with the same words and no n-grams. Both read the same three files, 8 to 1 to 1, on Beam's
FnApiRunner, a process for each pipeline. Made texts have 11 words on average, as questions have; their words
follow Zipf's law. Every result is one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402 - behind the path

WORDS = 50_000
CHUNK = 50_000
BEAM = ["--runner=FnApiRunner", "--sdk_container_image=unused"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["compare", "kembar", "tfx", "make"])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument(
        "--folder", type=Path, help="of the data and of what is made; default: a temporary one"
    )
    parser.add_argument("--one-source", action="store_true", help="Kembar divides one file itself")
    parser.add_argument("--ngrams", action="store_true", help="Kembar's default features: words and 3-grams")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        make(folder / f"data-{options.rows}", options.rows)
        if options.what == "compare":
            measured = [
                json.loads(
                    subprocess.run(
                        [sys.executable, __file__, what, *_passed(options, folder)],
                        check=True,
                        stdout=subprocess.PIPE,
                    ).stdout.splitlines()[-1]
                )
                for what in ("tfx", "kembar")
            ]
            for figures in measured:
                print(json.dumps(figures))
            tfx, kembar = measured
            print(
                json.dumps(
                    {
                        "seconds, TFX / Kembar": round(tfx["seconds"] / kembar["seconds"], 2),
                        "CPU seconds, TFX / Kembar": round(tfx["cpu_seconds"] / kembar["cpu_seconds"], 2),
                        "peak memory, Kembar / TFX": round(kembar["peak_mb"] / tfx["peak_mb"], 2),
                    }
                )
            )
        elif options.what != "make":
            data = folder / f"data-{options.rows}"
            pipeline = kembar_steps if options.what == "kembar" else tfx_steps
            with tempfile.TemporaryDirectory(dir=folder) as root:
                print(
                    json.dumps(
                        {
                            "what": options.what,
                            "rows": options.rows,
                            **measure(pipeline, data, Path(root), options),
                        }
                    )
                )
    sys.stdout.flush()
    os._exit(0)


def _passed(options: argparse.Namespace, folder: Path) -> list[str]:
    flags = ["--one-source"] * options.one_source + ["--ngrams"] * options.ngrams
    return ["--rows", str(options.rows), "--folder", str(folder), *flags]


def make(folder: Path, rows: int) -> None:
    """Writes train.csv, eval.csv, test.csv and all.csv, the same rows; a tenth of the texts come again."""
    if (folder / "all.csv").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    words = np.array([_word(random) for _ in range(WORDS)])
    shares = 1 / np.arange(1, WORDS + 1) ** 1.05
    shares /= shares.sum()
    names = ("train", "eval", "test", "all")
    files = {name: (folder / f"{name}.part").open("w", newline="") for name in names}
    writers = {name: csv.writer(file, lineterminator="\n") for name, file in files.items()}
    for writer in writers.values():
        writer.writerow(["question1", "question2", "is_duplicate"])
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        texts = _texts(random, words, shares, 2 * count)
        again = random.random(count) < 0.2
        for at in range(count):
            a, b = texts[2 * at], texts[2 * at + 1]
            if again[at] and at:
                a = texts[2 * random.integers(at)]
            row = [a, b, int(random.random() < 0.37)]
            writers["all"].writerow(row)
            writers[names[int(np.searchsorted([0.8, 0.9], random.random(), side="right"))]].writerow(row)
    for name, file in files.items():
        file.close()
        (folder / f"{name}.part").rename(folder / f"{name}.csv")


def _word(random: np.random.Generator) -> str:
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    return "".join(letters[(random.random(random.integers(2, 10)) ** 1.5 * len(letters)).astype(int)])


def _texts(random: np.random.Generator, words: np.ndarray, shares: np.ndarray, count: int) -> list[str]:
    lengths = np.clip(random.lognormal(2.25, 0.5, count).astype(int), 1, 80)
    drawn = words[random.choice(len(words), lengths.sum(), p=shares)]
    texts = [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]
    ends = np.array(["?", '? And "why"?', ", please?"])[random.choice(3, count, p=[0.9, 0.05, 0.05])]
    return [text.capitalize() + end for text, end in zip(texts, ends, strict=True)]


def measure(steps: Any, data: Path, root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the nodes that `steps` builds with TFX's launcher; seconds and peak memory of each and of all."""
    from tfx.orchestration.metadata import sqlite_metadata_connection_config
    from tfx.orchestration.pipeline import Pipeline

    from pipeline.runs.launch import Launcher

    pipeline = Pipeline(
        pipeline_name="benchmark",
        pipeline_root=str(root),
        components=steps(data, root, options),
        metadata_connection_config=sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
        beam_pipeline_args=BEAM,
    )
    launcher = Launcher(pipeline, "1")
    if steps is tfx_steps:
        gc.unfreeze()  # Kembar's launcher has taken imports out of garbage collection, TFX's does not
    started, nodes = time.monotonic(), {}
    for node in launcher.up_to("Transform"):  # Kembar's graph goes on
        cpu = time.process_time()
        step = launcher.launch(node)
        if step.error is not None:
            raise step.error
        nodes[node] = {
            "seconds": round(step.seconds, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "peak_mb": step.peak_memory_mb,
        }
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(sum(node["cpu_seconds"] for node in nodes.values()), 1),
        "peak_mb": max(node["peak_mb"] for node in nodes.values()),
        "nodes": nodes,
    }


def tfx_steps(data: Path, root: Path, options: argparse.Namespace) -> list[Any]:
    """The standard components, in the order of TFX's guide."""
    from tfx.components import CsvExampleGen, ExampleValidator, SchemaGen, StatisticsGen, Transform
    from tfx.proto import example_gen_pb2

    files = root / "csv"
    files.mkdir()
    for name in ("train", "eval", "test"):
        (files / name).mkdir()
        (files / name / f"{name}.csv").symlink_to(data / f"{name}.csv")
    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*.csv") for name in ("train", "eval", "test")
    ]
    example_gen = CsvExampleGen(input_base=str(files), input_config=example_gen_pb2.Input(splits=splits))
    statistics = StatisticsGen(examples=example_gen.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="ingestion.preprocessing_fn",
    )
    return [example_gen, statistics, schema, validator, transform]


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Plain TFX's: lower case, no punctuation, one vocabulary over both texts, 100 tokens."""
    import tensorflow as tf
    import tensorflow_transform as tft

    tokens = {}
    for name in ("question1", "question2"):
        clean = tf.strings.regex_replace(tf.strings.lower(tf.reshape(inputs[name], [-1])), r"[^\w\s]", " ")
        tokens[name] = tf.strings.split(clean)[:, :100]
    vocabulary = tft.vocabulary(
        tf.concat(list(tokens.values()), axis=1), top_k=10_000, vocab_filename="words"
    )
    outputs = {
        name: tft.apply_vocabulary(words, vocabulary, default_value=0).to_tensor(shape=[None, 100])
        for name, words in tokens.items()
    }
    return {**outputs, "label": inputs["is_duplicate"]}


def kembar_steps(data: Path, root: Path, options: argparse.Namespace) -> list[Any]:
    """The graph's own nodes."""
    from pipeline.config.configuration import validate
    from pipeline.graph import pipeline as graph
    from pipeline.graph.plan import Plan

    names = {"path": "all"} if options.one_source else {name: name for name in ("train", "eval", "test")}
    config = validate(
        {
            "pipeline": {"name": "benchmark"},
            "data": {
                "format": "csv",
                **{key: str(data / f"{name}.csv") for key, name in names.items()},
                "text_a": "question1",
                "text_b": "question2",
                "label": {"column": "is_duplicate", "kind": "binary"},
            },
            "model": {} if options.ngrams else {"ngrams": []},
        },
        "benchmark",
    )
    return graph.components(config, root, root / "serving", Plan())


if __name__ == "__main__":
    main()
