"""What TF Serving reads before a version serves."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from trainer.exporting.inference import with_inference
from trainer.exporting.warmup import FILE, write_warmup


class Lengths(tf.Module):
    """`serve_examples` as a family of pairs or of vectors has it, by what `key` names."""

    def __init__(self, key, outputs):
        super().__init__()
        self.key, self.outputs = key, outputs

    def served(self):
        return {"serve_examples": self.answer.get_concrete_function(tf.TensorSpec([None], tf.string))}

    @tf.function
    def answer(self, examples):
        spec = {
            "text": {name: tf.io.FixedLenFeature([], tf.string) for name in ("text_a", "text_b")},
            "vector": {"vector": tf.io.FixedLenFeature([2], tf.float32)},
        }[self.key]
        parsed = tf.io.parse_example(examples, spec)
        if self.key == "text":
            score = tf.cast(tf.strings.length(parsed["text_a"] + parsed["text_b"]), tf.float32)
        else:
            score = tf.reduce_sum(parsed["vector"], axis=1)
        answers = {
            "score": score,
            "label": tf.cast(score > 3, tf.int64) if "score" in self.outputs else tf.as_string(score),
            "probabilities": tf.stack([score, -score], axis=1),
        }
        return {name: answers[name] for name in self.outputs}


ROWS: dict[str, dict[str, list]] = {
    "text": {"text_a": ["a", "", "ü"], "text_b": ["bcd", "", "f"]},
    "vector": {"vector": [[0.5, 2.0], [1, 3]]},
}


class Adder(tf.Module):
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([None], tf.string, "s")]
    )
    def add(self, x, s):
        return {"y": x + 1.0, "t": s}


def test_requests_come_back_with_the_types_of_the_signature(tmp_path):
    signatures = {"serving_default": Adder().add.get_concrete_function()}
    write_warmup(str(tmp_path), signatures, {"serving_default": {"x": [1, 2], "s": ["a", "ü"]}})
    [record] = tf.data.TFRecordDataset(str(tmp_path / FILE)).as_numpy_iterator()
    request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    x, s = (tf.make_ndarray(request.inputs[name]) for name in ("x", "s"))
    assert (x.dtype.name, x.tolist()) == ("float32", [1.0, 2.0])
    assert s.tolist() == [b"a", "ü".encode()]


@pytest.mark.parametrize(
    ("key", "outputs", "kinds"),
    [
        ("text", ("score",), ["predict_log", "regress_log"]),
        ("text", ("score", "label"), ["predict_log", "regress_log", "classify_log"]),
        ("vector", ("probabilities", "label"), ["predict_log", "classify_log"]),
    ],
)
def test_what_takes_examples_is_warmed_up_with_the_rows_of_the_default(tmp_path, key, outputs, kinds):
    """Written, loaded and replayed: by the gate's probe, in a session, and by the embedded server."""
    from components.serving_gate import probe
    from pipeline.serving.model import LoadedModel
    from pipeline.serving.warmup import warm_up

    module = Lengths(key, outputs)
    signatures = with_inference(module.served())
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    names = list(ROWS[key])
    takes = tf.function(lambda *columns: {"rows": tf.shape(columns[0])[0]}).get_concrete_function(
        *(tf.TensorSpec(None, tf.string if key == "text" else tf.float32, name) for name in names)
    )
    write_warmup(str(tmp_path), {**signatures, "serving_default": takes}, {"serving_default": ROWS[key]})
    records = list(tf.data.TFRecordDataset(str(tmp_path / FILE)).as_numpy_iterator())
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log", *kinds]
    for log in logs[2:]:
        rows = getattr(log, log.WhichOneof("log_type")).request.input.example_list.examples
        assert len(rows) == len(ROWS[key][names[0]])
        assert set(rows[0].features.feature) == set(names)

    with tf.io.TFRecordWriter(str(tmp_path / FILE)) as writer:  # those whose signature is in this model
        for record in records[1:]:
            writer.write(record)
    asked = []
    model = probe.Model(str(tmp_path))
    answer = model.ask
    model.ask = lambda name, inputs: asked.append((name, answer(name, inputs)))  # type: ignore[assignment]
    assert probe.warm_up(model, str(tmp_path)) == len(kinds)
    assert [name for name, _ in asked] == [
        "serve_examples",
        *(kind.removesuffix("_log") for kind in kinds[1:]),
    ]
    if key == "text" and "label" in outputs:
        assert asked[2][1]["classes"].tolist() == [[b"0", b"1"]] * 3
        assert asked[1][1]["outputs"].tolist() == [4.0, 0.0, 3.0]
    assert warm_up(LoadedModel.load(tmp_path)) == len(kinds)


def test_an_example_that_the_model_refuses_ends_both_warm_ups(tmp_path):
    from components.serving_gate import probe
    from pipeline.serving.errors import ServingError
    from pipeline.serving.model import LoadedModel
    from pipeline.serving.warmup import warm_up

    module = Lengths("vector", ("score",))
    signatures = with_inference(module.served())
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    log = prediction_log_pb2.PredictionLog()
    log.regress_log.request.model_spec.signature_name = "regress"
    log.regress_log.request.input.example_list.examples.add().features.feature["vector"].float_list.value[
        :
    ] = [1.0]
    (tmp_path / FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / FILE)) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(ValueError, match=r"warm-up request 1, 'regress': .*vector"):
        probe.warm_up(probe.Model(str(tmp_path)), str(tmp_path))
    with pytest.raises(ServingError, match=r"warm-up request 1 failed: .*vector"):
        warm_up(LoadedModel.load(tmp_path))
