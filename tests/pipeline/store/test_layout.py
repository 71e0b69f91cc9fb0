"""Which folders count as this pipeline's, against the graphs that it can have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config import configuration
from pipeline.graph import pipeline as graph
from pipeline.store.layout import NODES
from tests.pipeline.twins import CONFIG, EVERYTHING
from trainer.errors import ConfigError


def nodes_of(tmp_path: Path, text: str) -> set[str]:
    (tmp_path / "bulk.csv").write_text("a,b\nx,y\n")
    (tmp_path / "twins.toml").write_text(text)
    config = configuration.load(tmp_path / "twins.toml")
    built = graph.build(config, tmp_path / "artifacts", mlmd.ConnectionConfig(), tmp_path / "serving")
    return {node.id for node in built.components}


def test_every_node_of_a_graph_is_known_and_no_other(tmp_path):
    assert nodes_of(tmp_path, CONFIG + EVERYTHING) == NODES
    assert nodes_of(tmp_path, f'{CONFIG}path = "pairs.csv"') < NODES


@pytest.mark.parametrize("key", ["floors", "ceilings"])
def test_a_metric_that_nobody_measures_is_no_reason_to_train(tmp_path, key):
    wrong = EVERYTHING.replace("[retraining]", f"[retraining]\n{key} = {{ nonsense = 1.0 }}")
    with pytest.raises(ConfigError, match=rf"^\[retraining\] {key}: no metric 'nonsense': there are acc"):
        nodes_of(tmp_path, CONFIG + wrong)


def test_to_know_them_costs_no_import_of_tfx():
    code = "import sys, pipeline.store.backup; sys.exit(not {'tfx', 'tensorflow'}.isdisjoint(sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
