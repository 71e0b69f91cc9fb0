import numpy as np
import pytest

from pipeline.serving.errors import RequestError, ServingError
from pipeline.serving.model import LoadedModel
from pipeline.serving.signatures import TensorSpec


@pytest.fixture(scope="module")
def model(saved_models) -> LoadedModel:
    return LoadedModel.load(saved_models[1])


def test_signatures_name_what_they_take_and_give(model):
    pair = model.signature("")
    assert pair.name == "serving_default"
    assert pair.inputs == {
        "text_a": TensorSpec("text_a", "string", (None,)),
        "text_b": TensorSpec("text_b", "string", (None,)),
    }
    assert pair.outputs == {"score": TensorSpec("score", "float32", (None,))}
    assert model.signature("sample").inputs["seed"] == TensorSpec("seed", "int64", ())
    assert model.signature("score_vector").inputs["vector"].shape == (None, 3)


def test_predict_takes_str_and_bytes(model):
    inputs = {"text_a": np.array(["abcd", "é"]), "text_b": np.array([b"ab", b"e"], dtype=object)}
    scores = model.predict("serving_default", inputs)["score"]
    assert scores.dtype == np.float32
    assert scores.tolist() == [np.float32(1.2), 1.0]


def test_predict_narrows_numbers_that_fit(model):
    answer = model.predict("score_vector", {"vector": np.array([[1, 2, 3], [0, 0, 0]])})
    assert answer["elbo"].tolist() == [-6.0, 0.0]
    assert answer["anomaly"].tolist() == [True, False]
    answer = model.predict("sample", {"seed": np.array(5), "count": np.array(2)})
    assert answer["vector"].tolist() == [[5.0] * 3] * 2
    assert answer["seed"].shape == ()


def test_empty_batches_and_nul_bytes_survive(model):
    assert model.predict("embed", {"text": np.array([])})["embedding"].shape == (0, 2)
    echoed = model.predict("echo", {"text": np.array([b"a\0"], dtype=object)})
    assert echoed["text_bytes"].tolist() == [b"a\0"]


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("nope", {}, 'Serving signature name: "nope" not found'),
        ("embed", {"words": np.array(["a"])}, "Signature 'embed' takes text, but got: words"),
        ("embed", {}, "but got: nothing"),
        ("embed", {"text": np.array("a")}, "Input 'text' must have shape [?], but got: []"),
        ("embed", {"text": np.array([1])}, "Input 'text' must be string, but got: int64"),
        ("embed", {"text": np.array([None])}, "Signature 'embed': an input cannot be converted"),
        ("score_vector", {"vector": np.zeros((2, 4))}, "must have shape [?, 3], but got: [2, 4]"),
        ("score_vector", {"vector": np.zeros((2, 3), bool)}, "must be float32, but got: bool"),
        (
            "sample",
            {"seed": np.array(1), "count": np.array(1.5)},
            "Input 'count' must be int32, but got: float64",
        ),
        (
            "sample",
            {"seed": np.array(1), "count": np.array(2**40)},
            "Input 'count' must be int32, but got: int64",
        ),
        ("sample", {"seed": np.array(1), "count": np.array(65)}, "count must be at most 64"),
        (
            "serving_default",
            {"text_a": np.array(["a"]), "text_b": np.array(["a", "b"])},
            "Inputs must be equally long, but have lengths text_a: 1, text_b: 2",
        ),
    ],
)
def test_predict_refuses(model, signature, inputs, message):
    with pytest.raises(RequestError) as refused:
        model.predict(signature, inputs)
    assert message in str(refused.value)
    assert refused.value.status == 400


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ServingError, match=r"no saved_model\.pb; is this a version directory"):
        LoadedModel.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"not a protocol buffer")
    with pytest.raises(ServingError, match="cannot be loaded"):
        LoadedModel.load(tmp_path)
