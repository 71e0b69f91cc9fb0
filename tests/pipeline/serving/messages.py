"""Requests for gRPC."""

import tensorflow as tf
from tensorflow_serving.apis import input_pb2, predict_pb2


def predict_request(signature="", name="twin", version=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def example(a: str, b: str | None = None, **more: bytes) -> tf.train.Example:
    texts = {"text_a": a.encode(), **({"text_b": b.encode()} if b is not None else {}), **more}
    features = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in texts.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def given(*rows, context=None) -> input_pb2.Input:
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=rows))
    both = input_pb2.ExampleListWithContext(examples=rows, context=context)
    return input_pb2.Input(example_list_with_context=both)
