"""What TF Serving reads before a version serves."""

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from trainer.warmup import FILE, write_warmup


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
