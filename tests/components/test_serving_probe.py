"""The serving gate: a real SavedModel in a fresh process, and programs that misbehave as models may."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.serving_gate import check
from components.serving_gate.check import Deployment, judge, run_probe
from components.serving_gate.golden import Golden, read_golden
from trainer.errors import ConfigError
from trainer.families import ContractSignature, Tensor

DOUBLES = [{"signature": "double", "inputs": {"values": [1.0, 2.5]}}]
FLOATS, TEXTS = Tensor("float32"), Tensor("string")
PROMISED = {
    "double": ContractSignature({"values": FLOATS}, {"score": FLOATS}),
    "length": ContractSignature(
        {"texts": TEXTS}, {"score": Tensor("int32"), "texts": TEXTS, "long": Tensor("bool")}
    ),
    "logarithm": ContractSignature({"values": FLOATS}, {"score": FLOATS, "same": FLOATS}),
    "strict": ContractSignature({"count": Tensor("int32", ())}, {"score": Tensor("int32", ())}),
    "table": ContractSignature(
        {"rows": Tensor("float32", ("batch", 3))}, {"sums": Tensor("float32", ("batch",))}
    ),
    "hungry": ContractSignature({"bytes": Tensor("int64", ())}, {"sum": Tensor("float32", ())}),
}
BATCH_ROWS = 5


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a short program in the place of the probe, so that no test waits for TensorFlow."""

    def put(source: str) -> None:
        path = tmp_path / "probe.py"
        path.write_text("import os, sys, time\nmodel, questions, answers = sys.argv[1:]\n" + source)
        monkeypatch.setattr(check, "PROBE", path)

    return put


def ask(model, folder, *, timeout=120.0, requests=DOUBLES, **limits):
    return run_probe(str(model), requests, folder, Deployment(gate_timeout=timeout, **limits))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny model with warm-up requests."""
    import tensorflow as tf

    from trainer.exporting.warmup import write_warmup

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

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "rows")])
        def table(self, rows):
            return {"sums": tf.reduce_sum(rows, -1)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, "bytes")])
        def hungry(self, bytes):
            return {"sum": tf.reduce_sum(tf.random.uniform([bytes // 4]))}

    path = tmp_path_factory.mktemp("tiny") / "model"
    module = Tiny()
    signatures = {name: getattr(module, name).get_concrete_function() for name in PROMISED}
    tf.saved_model.save(module, str(path), signatures=signatures)
    write_warmup(str(path), signatures, {"double": {"values": [1.0]}, "strict": {"count": 1}})
    return path


@pytest.fixture(scope="module")
def answers(tiny, tmp_path_factory):
    """What the probe says of a tiny model: one answer for each kind of request."""
    requests = [
        *DOUBLES,
        {"signature": "logarithm", "inputs": {"values": [1.0, -1.0]}},
        {"signature": "length", "inputs": {"texts": [{"b64": base64.b64encode(b"\xff\x00a").decode()}, "é"]}},
        {"signature": "missing", "inputs": {}},
        {"signature": "strict", "inputs": {"count": 0}},
        {"signature": "double", "inputs": {"value": [1.0]}},
    ]
    folder = tmp_path_factory.mktemp("answers")
    found, failure = run_probe(str(tiny), requests, folder, Deployment(batch_rows=BATCH_ROWS), DOUBLES[0])
    assert failure == ""
    return found


def only(answers, *places):
    return {**answers, "answers": [answers["answers"][place] for place in places]}


def judged(report, score, expected, **limits):
    return judge(report, PROMISED, score, expected, Deployment(batch_rows=BATCH_ROWS, **limits))


def test_right_answers_pass(answers):
    assert judged(only(answers, 0, 2), "score", [[2.0], [5.0]]) == []
    assert answers["load_seconds"] > 0
    assert answers["answers"][0]["outputs"]["score"] == {
        "dtype": "float32",
        "shape": [2],
        "numeric": True,
        "finite": True,
        "values": [2.0, 5.0],
    }


def test_rounding_passes_and_more_does_not(answers):
    assert judged(only(answers, 0), "score", [[2.0001], [5.0004]]) == []
    assert judged(only(answers, 0), "score", [[2.0], [5.1]]) == [
        "output 'score' differs from what the evaluator saw by up to 0.02"
    ]


def test_answers_in_another_order_are_wrong(answers):
    [said] = judged(only(answers, 0), "score", [[5.0], [2.0]])
    assert said == "output 'score' differs from what the evaluator saw by up to 1.5"


def test_answers_of_another_shape_are_wrong(answers):
    assert judged(only(answers, 0), "score", [[2.0]]) == ["output 'score' has shape [2] for 1 examples"]
    assert judged(only(answers, 0), "score", [[2.0, 1.0], [5.0, 1.0]]) == [
        "output 'score' has shape [2] for 2 examples"
    ]


def test_a_missing_output_is_wrong(answers):
    assert judged(only(answers, 0), "elbo", [[2.0], [5.0]]) == [
        "no output 'elbo', which the evaluator looked at"
    ]


def test_numbers_that_are_not_finite_are_wrong(answers):
    assert judged(only(answers, 0, 1), "score", [[2.0], [5.0]]) == [
        "signature 'logarithm': output 'score' has values that are not finite"
    ]
    assert judged(only(answers, 1), "score", [[0.0], [0.0]])[0] == (
        "signature 'logarithm': output 'score' has values that are not finite"
    )


@pytest.mark.parametrize(
    ("served", "evaluated", "same"),
    [
        ([1.0, None], [1.0, float("nan")], True),
        ([1.0, None], [1.0, float("inf")], True),
        ([None, 1.0], [2.0, 1.0], False),
        ([1.0, 1.0], [1.0, float("nan")], False),
        ([1.0, 1.1], [1.0, 1.0], False),
        ([None], [float("nan")], True),
    ],
)
def test_scores_that_are_not_finite_are_the_same_where_both_are(served, evaluated, same):
    output = {"numeric": True, "values": served, "shape": [len(served)], "dtype": "float32"}
    assert (check._compare(output, "score", [[value] for value in evaluated]) == []) is same


def test_texts_and_flags_are_no_numbers(answers):
    outputs = answers["answers"][2]["outputs"]
    assert outputs["score"]["values"] == [3.0, 2.0]
    assert outputs["texts"]["values"] == ["\\xff\x00a", "é"]
    assert outputs["long"]["values"] == [True, False]
    assert [outputs[name]["numeric"] for name in ("score", "texts", "long")] == [True, False, False]
    assert all(output["finite"] for output in outputs.values())


def test_a_score_that_is_no_number_is_wrong(answers):
    [said] = judged(only(answers, 2), "texts", [[3.0], [2.0]])
    assert "texts" in said


def test_requests_that_fail_are_wrong_and_say_why(answers):
    missing, strict, unknown = judged(only(answers, 0, 3, 4, 5), "score", [[2.0], [5.0]])
    known = "double, hungry, length, logarithm, strict, table"
    assert missing == f"signature 'missing': no such signature; the model has {known}"
    assert strict.startswith("signature 'strict': ")
    assert unknown == "signature 'double': inputs differ from the signature's: value, values"


def test_what_the_graph_complains_of_is_said(answers):
    [said] = judged(only(answers, 0, 4), "score", [[2.0], [5.0]])
    assert "count must be positive" in said


def test_a_first_request_that_failed_is_reported_once(answers):
    assert len(judged(only(answers, 3, 0), "score", [[2.0], [5.0]])) == 1


def test_the_signatures_are_those_of_the_contract(answers):
    report = only(answers, 0)
    assert judged(report, "score", []) == []
    changed = {
        **PROMISED,
        "double": ContractSignature({"value": FLOATS}, {"score": Tensor("float32", ("batch", 1))}),
        "strict": ContractSignature({"count": Tensor("int64", ())}, {"score": Tensor("int32", None)}),
        "table": ContractSignature(
            {"rows": Tensor("float32", ("batch", 4))}, {"sums": Tensor("float32", ("n",))}
        ),
        "more": ContractSignature({}, {}),
    }
    del changed["length"]
    assert judge(report, changed, "score", [], Deployment()) == [
        "signature 'more' is missing",
        "signature 'length' is not in the contract",
        "signature 'double': input 'value' is missing",
        "signature 'double': input 'values' is not in the contract",
        "signature 'double': output 'score' is float32 [?], not float32 [batch, 1]",
        "signature 'strict': input 'count' is int32 [], not int64 []",
        "signature 'strict': output 'score' is int32 [], not int32 of any rank",
        "signature 'table': input 'rows' is float32 [?, 3], not float32 [batch, 4]",
    ]


def test_a_batch_of_fixed_size_breaks_the_contract(answers):
    report = only(answers, 0)
    signatures = {"double": {"inputs": {"values": ["float32", [8]]}, "outputs": {"score": ["float32", [8]]}}}
    promised = {"double": ContractSignature({"values": FLOATS}, {"score": Tensor("float32", ("any",))})}
    assert judge({**report, "signatures": signatures}, promised, "score", [], Deployment()) == [
        "signature 'double': input 'values' is float32 [8], not float32 [batch]"
    ]


def test_the_warm_up_requests_are_answered(answers):
    assert answers["warmup_requests"] == 2
    assert "warmup_error" not in answers
    said = "no warm-up requests in assets.extra/tf_serving_warmup_requests: the first client would wait"
    assert judged({**only(answers, 0), "warmup_error": said}, "score", []) == [said]


def test_latency_and_memory_are_measured_and_judged(answers):
    report = only(answers, 0)
    for kind in ("single", "batch"):
        measured = report["latency_ms"][kind]
        assert 0 < measured["p50"] <= measured["p99"]
        assert measured["requests"] >= 10
    assert 0 < report["memory_mb"] < 1_000
    generous = {"max_p50_ms": 1e9, "max_p99_ms": 1e9, "max_batch_p99_ms": 1e9, "max_memory_mb": 1e3}
    assert judged(report, "score", [], **generous) == []
    memory, median, tail, batch = judged(report, "score", [], **dict.fromkeys(generous, 1e-6))
    assert memory.startswith("loading and answering took ")
    assert memory.endswith(" MB, more than 1e-06 ([serving] max_memory_mb)")
    assert median.startswith("one row took, p50, ")
    assert tail.endswith("([serving] max_p99_ms)")
    assert batch.startswith("a batch of 5 rows took, p99, ")


def test_golden_requests_must_give_what_they_say(answers):
    def said(**changes):
        asked = Golden(signature="length", inputs={"texts": ["x", "y"]}, **changes)
        return judged(only(answers, 0, 2), "score", [], golden=(asked,))

    assert said() == []
    assert said(outputs={"score": [3, 2.0], "texts": ["\\xff\x00a", "é"], "long": [True, False]}) == []
    assert said(outputs={"score": [3.1, 2.0]}, tolerance=0.2) == []
    assert said(outputs={"score": [3.3, 2.0], "long": [True], "other": [1]}, tolerance=0.2) == [
        "golden request to 'length': output 'score' is [3.0, 2.0], not [3.3, 2.0]",
        "golden request to 'length': output 'long' is [true, false], not [true]",
        "golden request to 'length': output 'other' is missing",
    ]


def test_golden_requests_come_from_a_file(tmp_path):
    path = tmp_path / "golden.json"
    path.write_text('[{"inputs": {"text_a": ["x"]}, "outputs": {"score": [1]}}]')
    assert read_golden(path) == (Golden(inputs={"text_a": ["x"]}, outputs={"score": [1]}),)
    told = Deployment.model_validate_json(Deployment(golden_file=path, directory=Path("/s")).for_gate())
    assert told == Deployment(golden=read_golden(path))
    path.write_text('[{"inputs": {"text_a": ["x"]}}, {"input": {}}]')
    with pytest.raises(ConfigError, match=r"golden\.json: request 1\.inputs: Field required"):
        read_golden(path)
    with pytest.raises(ConfigError, match=r"\[serving\] golden_file = '.*none': No such file or directory"):
        Deployment(golden_file=tmp_path / "none").for_gate()


def foreign_ops(path):
    from components.serving_gate import probe

    return probe.foreign_ops(str(path))


def test_a_graph_that_needs_python_is_rejected(tmp_path, tiny):
    import tensorflow as tf

    class Calling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "values")])
        def half(self, values):
            return {"score": tf.py_function(lambda x: x / 2, [values], tf.float32)}

    module = Calling()
    tf.saved_model.save(module, str(tmp_path), signatures={"half": module.half.get_concrete_function()})
    [said] = foreign_ops(tmp_path)
    assert said.startswith("op EagerPyFunc (__inference_")
    assert said.endswith("needs Python, which TF Serving lacks")
    assert judge({"foreign_ops": [said]}, PROMISED, "score", [], Deployment()) == [said]
    assert foreign_ops(tiny) == []


def test_an_op_that_tf_serving_does_not_link_is_rejected(tmp_path, tiny):
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((tiny / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    graph.node.add(name="mine", op="MyOwnOp")
    graph.library.function[0].node_def.add(name="also", op="FastBertNormalize")  # tensorflow-text's
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    [said] = foreign_ops(tmp_path)
    assert said == (
        "op MyOwnOp (the graph: mine) is neither TensorFlow's nor tensorflow-text's: "
        "TF Serving does not link it"
    )


def test_a_model_that_takes_too_much_memory_is_refused_it(tiny, tmp_path):
    """Sixteen gigabytes are asked for; the process ends or the graph does, and the machine goes on."""
    requests = [{"signature": "hungry", "inputs": {"bytes": 16 << 30}}]
    found, failure = ask(tiny, tmp_path, requests=requests, max_memory_mb=100)
    wrong = [failure] if failure else judged(found, "sum", [], max_memory_mb=100)
    assert len(wrong) == 1
    assert "OOM when allocating tensor" in wrong[0] or wrong[0].startswith(
        "the process that loaded the model"
    )


def test_a_folder_without_a_model_is_rejected(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    found, failure = ask(tmp_path / "model", tmp_path)
    assert found == {}
    assert failure.startswith("the process that loaded the model ended with status 1: ")
    assert "\n" not in failure


def test_a_crash_is_rejected(tmp_path, program):
    program("print('corrupted', file=sys.stderr, flush=True)\nos.abort()")
    assert ask("model", tmp_path, timeout=20) == (
        {},
        "the process that loaded the model ended with status -6: corrupted",
    )
    program("import signal; os.kill(os.getpid(), signal.SIGKILL)")
    said = "the process that loaded the model was killed, as the kernel does when memory runs out"
    assert ask("model", tmp_path, timeout=20) == ({}, f"{said}: nothing was said")
    program("os.abort()")
    assert ask("model", tmp_path, timeout=20)[1].endswith("status -6: nothing was said")


def test_a_model_that_hangs_is_rejected_and_killed(tmp_path, program):
    program("open(model, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    found, failure = ask(tmp_path / "pid", tmp_path, timeout=1)
    assert (found, failure) == ({}, "no answer within 1 s ([serving] gate_timeout)")
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_the_probe_has_the_seconds_that_are_configured_and_no_more(tmp_path, monkeypatch):
    given = []

    def run(command, **options):
        given.append(options["timeout"])
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    assert ask("model", tmp_path, timeout=7) == ({}, "no answer within 7 s ([serving] gate_timeout)")
    assert given == [7]


@pytest.mark.parametrize("limit", [700, None])
def test_the_probe_may_take_the_memory_that_is_configured(tmp_path, monkeypatch, limit):
    from components.serving_gate import probe

    limits: list[float] = []
    monkeypatch.setattr(probe, "_die_first", lambda: None)
    monkeypatch.setattr(probe, "foreign_ops", lambda model: ["op X is unknown"])
    monkeypatch.setattr(probe, "_limit_address_space", limits.append)
    (tmp_path / "requests.json").write_text(json.dumps({"requests": [], "memory_limit_mb": limit}))
    probe.main("model", str(tmp_path / "requests.json"), str(tmp_path / "answers.json"))
    assert limits == ([limit] if limit else [])
    assert json.loads((tmp_path / "answers.json").read_text())["foreign_ops"] == ["op X is unknown"]


def test_a_crash_behind_the_last_answer_does_not_matter(tmp_path, program):
    program("open(answers, 'w').write('{\"answers\": [], \"load_seconds\": 1}')\nos.abort()")
    assert ask("model", tmp_path, timeout=20) == ({"answers": [], "load_seconds": 1}, "")


def test_the_probe_knows_nothing_of_this_project(tmp_path, program, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(check.__file__).parents[2]))
    program(
        "import json\nknown = [name for name in sys.path if os.path.isdir(os.path.join(name, 'trainer'))]\n"
        "json.dump({'path': known, 'gpus': os.environ['CUDA_VISIBLE_DEVICES']}, open(answers, 'w'))"
    )
    found, _ = ask("model", tmp_path, timeout=20)
    assert found == {"path": [], "gpus": ""}


def test_the_probe_imports_no_code_of_this_project():
    imported = set()
    for node in ast.walk(ast.parse(Path(check.PROBE).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("" if node.level else str(node.module).partition(".")[0])
    others = imported - set(sys.stdlib_module_names)
    assert others == {"numpy", "tensorflow", "tensorflow_serving"}
