"""The first step that reads all spans of a window."""

import json

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.baselines.component import Baselines
from components.nodes import BASELINES_FILE
from trainer.errors import DataRejected
from trainer.features import Label
from trainer.spec import Spec

SPEC = Spec(label=Label(column="y", kind="binary"))


def example(a, b, label):
    features = {
        "text_a": tf.train.Feature(bytes_list=tf.train.BytesList(value=[a.encode()])),
        "text_b": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b.encode()])),
        "label": tf.train.Feature(float_list=tf.train.FloatList(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def run(tmp_path, *spans):
    """The baselines of spans, each the number of rows by split."""
    artifacts = []
    for number, rows in enumerate(spans):
        span = standard_artifacts.Examples()
        span.uri = str(tmp_path / f"span{number}")
        span.split_names = json.dumps(["train", "eval", "test"])
        for split, count in rows.items():
            folder = tmp_path / f"span{number}" / f"Split-{split}"
            folder.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as file:
                for at in range(count):
                    file.write(example(f"a man {at}", f"a {'man' if at % 2 else 'dog'} {at}", at % 2))
        artifacts.append(span)
    found = standard_artifacts.ModelEvaluation()
    found.uri = str(tmp_path / "baselines")
    (tmp_path / "baselines").mkdir()
    told = {"spec": SPEC.narrowed(()), "code": ""}
    Baselines.EXECUTOR_SPEC.executor_class._FUNCTION(examples=artifacts, baselines=found, **told)
    return json.loads((tmp_path / "baselines" / BASELINES_FILE).read_text())


def test_a_split_may_lack_in_a_span_of_the_window(tmp_path):
    found = run(tmp_path, {"train": 8, "eval": 0, "test": 4}, {"train": 0, "eval": 4, "test": 0})
    assert {split for measured in found.values() for split in measured} == {"eval", "test"}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"train": 8, "eval": 4, "test": 0}, "no row of all 2 spans of the window is in the split test: "),
        ({"train": 8, "eval": 0, "test": 4}, "no row of all 2 spans of the window is in the split eval: "),
        ({"train": 0, "eval": 4, "test": 4}, "no row of all 2 spans of the window is in the split train: "),
        ({"train": 1, "eval": 4, "test": 4}, "1 row of all 2 spans of the window is in the split train: "),
    ],
)
def test_a_split_that_no_span_has_a_row_for_is_told(tmp_path, last, said):
    with pytest.raises(DataRejected) as caught:
        run(tmp_path, {"train": 0, "eval": 0, "test": 0}, last)
    fix = "give it a larger share in [data] split, or more spans in [data.spans] window"
    assert str(caught.value) == said + fix
