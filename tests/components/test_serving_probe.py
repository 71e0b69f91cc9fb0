"""The serving gate: a real SavedModel in a fresh process, and programs that misbehave as models may."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from components.serving_gate import check
from components.serving_gate.check import judge, run_probe

DOUBLES = [{"signature": "double", "inputs": {"values": [1.0, 2.5]}}]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a short program in the place of the probe, so that no test waits for TensorFlow."""

    def put(source: str) -> None:
        path = tmp_path / "probe.py"
        path.write_text("import os, sys, time\nmodel, questions, answers = sys.argv[1:]\n" + source)
        monkeypatch.setattr(check, "PROBE", path)

    return put


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the probe says of a tiny model: one answer for each kind of request."""
    import tensorflow as tf

    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "values")])
        def double(self, values):
            return {"score": values * 2}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "values")])
        def logarithm(self, values):
            return {"score": tf.math.log(values), "same": values}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
        def length(self, texts):
            return {"score": tf.strings.length(texts), "texts": texts, "long": tf.strings.length(texts) > 2}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "count")])
        def strict(self, count):
            tf.debugging.assert_positive(count, message="count must be positive")
            return {"score": count}

    root = tmp_path_factory.mktemp("tiny")
    module = Tiny()
    names = ("double", "logarithm", "length", "strict")
    signatures = {name: getattr(module, name).get_concrete_function() for name in names}
    tf.saved_model.save(module, str(root / "model"), signatures=signatures)
    requests = [
        *DOUBLES,
        {"signature": "logarithm", "inputs": {"values": [1.0, -1.0]}},
        {"signature": "length", "inputs": {"texts": [{"b64": base64.b64encode(b"\xff\x00a").decode()}, "é"]}},
        {"signature": "missing", "inputs": {}},
        {"signature": "strict", "inputs": {"count": 0}},
        {"signature": "double", "inputs": {"value": [1.0]}},
    ]
    found, failure = run_probe(str(root / "model"), requests, root, timeout=120)
    assert failure == ""
    return found


def only(answers, *places):
    return {"answers": [answers["answers"][place] for place in places]}


def test_right_answers_pass(answers):
    assert judge(only(answers, 0, 2), "score", [[2.0], [5.0]]) == []
    assert answers["load_seconds"] > 0
    assert answers["answers"][0]["outputs"]["score"] == {
        "dtype": "float32",
        "shape": [2],
        "finite": True,
        "values": [2.0, 5.0],
    }


def test_rounding_passes_and_more_does_not(answers):
    assert judge(only(answers, 0), "score", [[2.0001], [5.0004]]) == []
    assert judge(only(answers, 0), "score", [[2.0], [5.1]]) == [
        "output 'score' differs from what the evaluator saw by up to 0.02"
    ]


def test_answers_in_another_order_are_wrong(answers):
    [said] = judge(only(answers, 0), "score", [[5.0], [2.0]])
    assert said == "output 'score' differs from what the evaluator saw by up to 1.5"


def test_answers_of_another_shape_are_wrong(answers):
    assert judge(only(answers, 0), "score", [[2.0]]) == ["output 'score' has shape [2] for 1 examples"]
    assert judge(only(answers, 0), "score", [[2.0, 1.0], [5.0, 1.0]]) == [
        "output 'score' has shape [2] for 2 examples"
    ]


def test_a_missing_output_is_wrong(answers):
    assert judge(only(answers, 0), "elbo", [[2.0], [5.0]]) == [
        "no output 'elbo', which the evaluator looked at"
    ]


def test_numbers_that_are_not_finite_are_wrong(answers):
    assert judge(only(answers, 0, 1), "score", [[2.0], [5.0]]) == [
        "signature 'logarithm': output 'score' has values that are not finite"
    ]
    assert judge(only(answers, 1), "score", [[0.0], [0.0]])[0] == (
        "signature 'logarithm': output 'score' has values that are not finite"
    )


def test_texts_and_flags_are_no_numbers(answers):
    outputs = answers["answers"][2]["outputs"]
    assert outputs["score"]["values"] == [3.0, 2.0]
    assert outputs["texts"]["values"] is None
    assert outputs["long"]["values"] is None
    assert all(output["finite"] for output in outputs.values())


def test_a_score_that_is_no_number_is_wrong(answers):
    [said] = judge(only(answers, 2), "texts", [[3.0], [2.0]])
    assert "texts" in said


def test_requests_that_fail_are_wrong_and_say_why(answers):
    missing, strict, unknown = judge(only(answers, 0, 3, 4, 5), "score", [[2.0], [5.0]])
    assert missing == (
        "signature 'missing': no such signature; the model has double, length, logarithm, strict"
    )
    assert strict.startswith("signature 'strict': ")
    assert unknown == "signature 'double': inputs differ from the signature's: value, values"


def test_what_the_graph_complains_of_is_said(answers):
    [said] = judge(only(answers, 0, 4), "score", [[2.0], [5.0]])
    assert "count must be positive" in said


def test_a_first_request_that_failed_is_reported_once(answers):
    assert len(judge(only(answers, 3, 0), "score", [[2.0], [5.0]])) == 1


def test_a_folder_without_a_model_is_rejected(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    found, failure = run_probe(str(tmp_path / "model"), DOUBLES, tmp_path, timeout=120)
    assert found == {}
    assert failure.startswith("the process that loaded the model ended with status 1: ")
    assert "\n" not in failure


def test_a_crash_is_rejected(tmp_path, program):
    program("print('corrupted', file=sys.stderr, flush=True)\nos.abort()")
    assert run_probe("model", DOUBLES, tmp_path, timeout=20) == (
        {},
        "the process that loaded the model ended with status -6: corrupted",
    )
    program("os.abort()")
    assert run_probe("model", DOUBLES, tmp_path, timeout=20)[1].endswith("status -6: nothing was said")


def test_a_model_that_hangs_is_rejected_and_killed(tmp_path, program):
    program("open(model, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    started = time.monotonic()
    found, failure = run_probe(str(tmp_path / "pid"), DOUBLES, tmp_path, timeout=1)
    assert time.monotonic() - started < 20
    assert (found, failure) == ({}, "no answer within 1 s ([serving] gate_timeout)")
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_crash_behind_the_last_answer_does_not_matter(tmp_path, program):
    program("open(answers, 'w').write('{\"answers\": [], \"load_seconds\": 1}')\nos.abort()")
    assert run_probe("model", DOUBLES, tmp_path, timeout=20) == ({"answers": [], "load_seconds": 1}, "")


def test_the_probe_knows_nothing_of_this_project(tmp_path, program, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(check.__file__).parents[2]))
    program(
        "import json\nknown = [name for name in sys.path if os.path.isdir(os.path.join(name, 'trainer'))]\n"
        "json.dump({'path': known, 'gpus': os.environ['CUDA_VISIBLE_DEVICES']}, open(answers, 'w'))"
    )
    found, _ = run_probe("model", DOUBLES, tmp_path, timeout=20)
    assert found == {"path": [], "gpus": ""}
