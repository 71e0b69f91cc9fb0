"""REST :classify and :regress."""

import base64

import numpy as np
import pytest

from pipeline.serving import examples
from pipeline.serving.errors import RequestError

ROW = {"text_a": "abcd", "text_b": "ab"}
REGRESS, CLASSIFY = "/v1/models/twin:regress", "/v1/models/twin/versions/7:classify"


def test_regress(client):
    asked = {"signature_name": "regress", "examples": [ROW, {"text_a": "", "text_b": {"b64": ""}}]}
    assert client.predict(asked, path=REGRESS).json() == {"results": [1.2, 1.0]}


def test_classify_with_what_is_common_to_all(client):
    asked = {
        "signature_name": "classify",
        "context": {"text_b": "ab"},
        "examples": [{"text_a": "abcd"}, {"text_a": "a", "text_b": ["aaa"]}],
    }
    expected = [[["far", 1.2], ["near", -1.2]], [["far", 1.2], ["near", -1.2]]]
    assert client.predict(asked, path=CLASSIFY).json() == {"results": expected}


def regress(*rows, **more):
    return {"signature_name": "regress", "examples": list(rows), **more}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"examples": [ROW]}, "takes text_a, text_b, not 'inputs'; name another with signature_name"),
        ({"signature_name": "classify", "examples": [ROW]}, "No regression outputs found"),
        ({"signature_name": "nope", "examples": [ROW]}, "not found in signature def"),
        ({"signature_name": 1, "examples": [ROW]}, "must be a string"),
        ({"signature_name": "regress"}, "'examples' value to be a non-empty list"),
        (regress(), "non-empty"),
        (regress("a"), "Expecting element 0 of 'examples' to be an object"),
        (regress(*[{}] * 4096, context={"text_a": "a" * 3000}), "examples are more than 8388608 bytes"),
        (regress({}, context=1), "Expecting 'context' to be an object"),
        (regress({"text_a": "a"}), "text_b"),
        (regress({**ROW, "text_a": 1}), "Data types don't match"),
        (regress({**ROW, "text_a": None}), "feature 'text_a' must hold"),
        (regress({**ROW, "text_a": ["a", 1]}), "feature 'text_a' must hold"),
        (regress({**ROW, "text_a": {"b64": "*"}}), "nor base64"),
        (regress({**ROW, "more": 2**63}), "feature 'more' must hold"),
        (regress({**ROW, "more": 1e300}), "feature 'more' must hold"),
        (regress({**ROW, "more": 10**400}), "feature 'more' must hold"),
        (regress({**ROW, "more": -(10**400)}), "feature 'more' must hold"),
        ({"instances": []}, "Unknown key 'instances'"),
        ([], "Is not object"),
    ],
)  # fmt: skip
def test_refused(client, body, message):
    answer = client.predict(body, path=REGRESS)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]


def test_features_have_the_kinds_that_tf_serving_gives_them():
    import tensorflow as tf

    row = '{"i": 1, "f": [1.0, 2.5], "t": "é", "b": {"b64": "/w=="}, "n": true, "e": []}'
    body = ('{"examples": [' + row + "]}").encode()
    _, [serialized] = examples.decode_examples(body, 10, 1_000)
    feature = tf.train.Example.FromString(serialized).features.feature
    assert feature["i"].int64_list.value == [1]
    assert feature["n"].int64_list.value == [1]
    assert feature["f"].float_list.value == [1.0, 2.5]
    assert feature["t"].bytes_list.value == ["é".encode()]
    assert feature["b"].bytes_list.value == [base64.b64decode("/w==")]
    assert "e" in feature
    with pytest.raises(RequestError, match="holds 2 rows, but at most 1"):
        examples.decode_examples(b'{"examples": [{}, {}]}', 1, 1_000)


def test_outputs_of_other_shapes_are_refused():
    assert examples.values_of({"outputs": np.ones((2, 1), np.float32)}) == [1.0, 1.0]
    with pytest.raises(RequestError, match=r"\[batch_size, 1\], got \(2, 2\)"):
        examples.values_of({"outputs": np.ones((2, 2), np.float32)})
    only_scores = examples.classes_of({"scores": np.array([[0.5, 0.25]], np.float32)})
    assert only_scores == [[("", 0.5), ("", 0.25)]]
    only_classes = examples.classes_of({"classes": np.array([[b"a"]], object)})
    assert only_classes == [[("a", 0.0)]]
    with pytest.raises(RequestError, match="of one shape"):
        examples.classes_of({"classes": np.array([[b"a"]], object), "scores": np.zeros((1, 2))})
