"""`kembar schema infer` on files: the proposal, and what it refuses."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.config import configuration
from pipeline.runs.schema import infer
from tests.pipeline.twins import SCORED
from trainer.errors import ConfigError, DataRejected

CONFIG = f'{SCORED}schema_file = "schemas/twins.pbtxt"\n'


@pytest.fixture
def project(tmp_path):
    for split in ("train", "eval", "test"):
        (tmp_path / f"{split}.csv").write_text("a,b,score\none,two,3\nthree,four,4.5\nfive,six,0\n")
    path = tmp_path / "twins.toml"
    path.write_text(CONFIG)
    return path


def test_a_configuration_gets_the_schema_that_it_names(project):
    output = project.parent / "schemas" / "twins.pbtxt"
    text = infer(str(project), configuration.load(project), output)
    assert output.read_text() == text
    schema = text_format.Parse(text, schema_pb2.Schema())
    assert [feature.name for feature in schema.feature] == ["text_a", "text_b", "label"]
    assert "from eval 3, test 3, train 3 rows" in text
    assert [file.name for file in output.parent.iterdir()] == ["twins.pbtxt"]
    with pytest.raises(ConfigError, match=r"is there already: remove it, or name another file"):
        infer(str(project), configuration.load(project), output)


def test_rows_that_cannot_be_used_are_no_ground_for_a_schema(project):
    (project.parent / "train.csv").write_text("a,b,score\none,two,nine\n")
    with pytest.raises(DataRejected, match=r"1 of 1 rows cannot be used"):
        infer(str(project), configuration.load(project), None)


def test_of_spans_the_newest_complete_one_is_described(project):
    text = CONFIG[: CONFIG.index("train =")] + CONFIG[CONFIG.index("text_a") :]
    project.write_text(
        text + 'pattern = "days/{YYYY}-{MM}-{DD}.csv"\nspans = { marker = "days/{YYYY}-{MM}-{DD}.ok" }\n'
    )
    with pytest.raises(ConfigError, match=r"twins\.toml: \[data\] pattern = .*: no span is complete"):
        infer(str(project), configuration.load(project), None)
    days = project.parent / "days"
    days.mkdir()
    for day, rows in ((1, 40), (2, 60), (3, 90)):
        lines = "".join(f"one {n},two {n},{n % 6}\n" for n in range(rows))
        (days / f"2026-11-0{day}.csv").write_text(f"a,b,score\n{lines}")
    for day in (1, 2):
        (days / f"2026-11-0{day}.ok").touch()
    found = infer(str(project), configuration.load(project), None)
    told = re.search(r"from eval (\d+), test (\d+), train (\d+) rows", found)
    assert told is not None
    assert sum(map(int, told.groups())) == 60
    (days / "2026-11-03.csv").write_text("a,c,score\none,two,1\n")
    (days / "2026-11-03.ok").touch()
    with pytest.raises(ConfigError, match=r"2026-11-03\.csv.* 'b'"):
        infer(str(project), configuration.load(project), None)
