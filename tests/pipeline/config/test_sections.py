"""Each check of a section: what is just wrong is refused in its words, and what is just right is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.bulk_inferrer.bulk_config import Bulk
from components.data_gate.validation_config import Validation
from components.example_gen.data_config import DataSection, Split, Vector
from components.serving_gate.check import Deployment
from pipeline.config.configuration import Config
from pipeline.serving import serving_config
from pipeline.serving.limits import RequestLimits
from pipeline.serving.serving_config import Serving
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.section import path_keys
from trainer.vae.vae_config import Vae, VaeTraining

LABEL = {"column": "y", "kind": "binary"}
NAMED = {**LABEL, "positive": "x"}
FILES = {"train": "1", "eval": "2", "test": "3"}
LISTS = {"column": "v", "dimension": 2}
COLUMNS = {"columns": ["v", "w"], "dimension": 2}
VECTORS = {"text_a": None, "text_b": None}


def data(**changes: object) -> DataSection:
    return DataSection(
        **{"format": "csv", "path": "x", "text_a": "a", "text_b": "b", "label": LABEL, **changes}
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pattern": "x-{SPAN}"}, "path is all of the data, pattern one span of it: remove one"),
        ({"train": "1"}, "path is divided into splits by split; train cannot be given too"),
        (
            {"path": None, "pattern": "x-{SPAN}", "test": "3", "eval": "2"},
            "pattern is divided into splits by ",
        ),
        ({"path": None, "train": "1"}, "eval, test missing: give one file a split"),
        ({"path": None}, "train, eval, test missing"),
        ({"path": None, **FILES, "split": {}}, "split divides path or pattern, and neither is given"),
        ({"spans": {}}, "spans is about the files of pattern"),
        ({"path": None, "pattern": "x-{SPAN}", "split": {"groups": "whole"}}, "groups = 'whole' moves rows"),
        ({"path": None, "pattern": "x-{SPAN}", "label": NAMED}, "label positive needs negative"),
        ({"schema_file": "s", "schema_text": ""}, "schema_text stands in place of schema_file"),
        ({"vector": COLUMNS}, "not both: remove vector or text_a"),
        ({"text_a": None, "vector": COLUMNS}, "not both: remove vector or text_b"),
        ({"text_b": None}, "name the columns text_a and text_b, or vector"),
        ({"text_a": None}, "name the columns text_a and text_b, or vector"),
        (VECTORS, "name the columns text_a and text_b, or vector"),
        ({"text_b": "a"}, "text_a and text_b are the same column 'a'"),
        ({**VECTORS, "vector": LISTS}, "format = 'csv' has no list columns"),
        ({**VECTORS, "vector": LISTS, "format": "tsv"}, "format = 'tsv' has no list columns"),
        ({"columns": ["a", "b", "y"]}, "columns is for files without a header"),
        ({"header": False}, "header = false needs columns"),
        ({"header": False, "columns": ["a", "y"]}, "text_b = 'b' is not among columns = ['a', 'y']"),
        ({"header": False, "columns": ["a", "b", "y", "b"]}, "2 columns are named 'b'"),
        ({"encoding": "utf-99"}, "encoding = 'utf-99' is not known to Python"),
        ({"encoding": "hex"}, "encoding = 'hex' is not known to Python"),
        ({"encoding": "x\0"}, "is not known to Python"),
        ({"format": "jsonl", "delimiter": ","}, "delimiter is for csv and tsv"),
        ({"format": "parquet", "decimal": ","}, "decimal is for csv and tsv"),
        ({"delimiter": ";;"}, "delimiter = ';;': give one character, or set quoting = false"),
        ({"delimiter": ";;", "quoting": False, "escape": "^"}, "delimiter = ';;': give one character"),
        ({"quote": "''"}, "quote = \"''\": give one character [type"),
        ({"delimiter": ";;"}, "give one character, or set quoting = false [type"),
        ({"escape": "^^", "quoting": False}, "give one character [type"),
        ({"delimiter": ""}, "at least 1 item"),
        ({"escape": "^^", "quoting": False}, "escape = '^^': give one character"),
        ({"delimiter": "\n"}, "delimiter is a line end"),
        ({"quote": "\r"}, "quote is a line end"),
        ({"delimiter": ";", "quote": ";", "decimal": ","}, "delimiter, quote are the same character"),
        ({"delimiter": ";", "quote": "'", "escape": "'"}, "delimiter, quote, escape are the same character"),
        ({"quote": "'", "quoting": False}, "quoting = false leaves quotes as they are"),
    ],
)
def test_data_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValidationError) as refused:
        data(**changes)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"split": {"groups": "whole"}},
        {"text_a": "b", "text_b": "a"},
        {"path": None, **FILES},
        {"path": None, "pattern": "x-{SPAN}"},
        {"path": None, "pattern": "x-{SPAN}", "spans": {}, "split": {"train": 1}, "label": None},
        {"path": None, "pattern": "x-{SPAN}", "label": {**NAMED, "negative": "z"}},
        {"label": NAMED},
        {"schema_file": "s"},
        {"schema_text": ""},
        {**VECTORS, "vector": LISTS, "format": "parquet"},
        {**VECTORS, "vector": LISTS, "format": "jsonl"},
        {**VECTORS, "vector": COLUMNS},
        {"header": False, "columns": ["a", "b", "y", "z", "z"]},
        {"encoding": "utf-16"},
        {"encoding": "cp1252"},
        {"format": "tsv", "delimiter": ",", "decimal": ","},
        {"delimiter": ";", "quote": "'", "escape": "\\", "decimal": ","},
        {"delimiter": ";;", "quoting": False},
        {"escape": "^", "quoting": False},
    ],
)
def test_data_that_only_seems_to_is_taken(changes):
    assert data(**changes).format


def test_signs_have_names_and_one_file_is_a_list():
    found = data(delimiter="TAB", null="-", path=["x", "y"])
    assert (found.delimiter, found.null, found.path) == ("\t", ("-",), (Path("x"), Path("y")))
    assert data(delimiter="\\t").delimiter == "\t"
    assert data(delimiter=";").delimiter == ";"
    assert data(path="x").path == (Path("x"),)


def test_columns_that_are_wanted_are_known_by_their_keys():
    assert data().wanted == {"text_a": "a", "text_b": "b", "label.column": "y"}
    assert data(label=None, **VECTORS, vector=COLUMNS).wanted == {
        "vector.columns[0]": "v",
        "vector.columns[1]": "w",
    }
    assert data(label=None, **VECTORS, vector=LISTS, format="parquet").wanted == {"vector": "v"}


def test_files_are_there_once_under_each_key(tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).touch()
    (tmp_path / "3").symlink_to(tmp_path / "2")
    found = data(path=[tmp_path / "1", tmp_path / "2", tmp_path / "3"])
    assert found.sources() == {"path": (tmp_path / "1", tmp_path / "2", tmp_path / "3")}
    assert list(found.files()) == ["path"]
    assert len(found.files()["path"]) == 2
    assert len(found.aliases()) == 1
    span = data(path=None, pattern="x-{SPAN}", spans={}).of_span((tmp_path / "1",))
    assert (span.path, span.pattern, span.spans) == ((tmp_path / "1",), None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "give one of the two"),
        ({"column": "v", "columns": ["a", "b"]}, "give one of the two"),
        ({"columns": ["a", "b", "c"]}, "dimension = 2, but 3 columns are named"),
        ({"columns": ["a"]}, "dimension = 2, but 1 columns are named"),
        ({"columns": ["p0..q9"]}, "'p0..q9' is one name, and a run has it whole twice"),
        ({"columns": ["a", "a"]}, "column 'a' is named twice"),
        ({"column": "v", "range": [1, 1]}, "range must rise"),
        ({"column": "v", "range": [1, 0]}, "range must rise"),
    ],
)
def test_a_vector_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValidationError) as refused:
        Vector(**{"dimension": 2, **changes})
    assert said in str(refused.value)


def test_the_column_that_is_named_twice_is_the_one_that_is_named():
    with pytest.raises(ValidationError, match="column 'b' is named twice"):
        Vector(columns=["a", "b", "b"], dimension=3)
    with pytest.raises(ValidationError, match="but 1 columns are named ") as refused:
        Vector(columns=["a"], dimension=2)
    assert "one name" not in str(refused.value)


def test_a_vector_that_only_seems_to_contradict_itself_is_taken():
    assert Vector(columns=["a", "b"], dimension=2, range=(0, 1)).range == (0, 1)
    assert Vector(columns=["a"], dimension=1).columns == ("a",)
    assert Vector(column="v", dimension=2).range is None
    assert Split(train=1, eval=1, test=1).groups == "growing"


@pytest.mark.parametrize(
    ("rules", "severity"),
    [
        ({}, "reject"),
        ({"skew": "ignore"}, "reject"),
        ({"drift": "warn"}, "warn"),
        ({"drift:tokens": "warn", "drift": "ignore", "text_a": "ignore", "tokens": "ignore"}, "warn"),
        ({"drift:text_b": "warn"}, "reject"),
        ({"drift": "ignore", "text_a": "warn"}, "warn"),
        ({"text_a": "warn", "drift": "ignore"}, "warn"),
        ({"text_a": "ignore", "tokens": "warn", "drift": "ignore"}, "warn"),
        ({"drift:text_a": "ignore", "text_a:tokens": "warn"}, "warn"),
        ({"drift:text_a:tokens": "warn", "text_a:tokens": "ignore"}, "warn"),
    ],
)
def test_of_exceptions_that_hold_the_narrowest_decides(rules, severity):
    assert Validation(severity=rules).severity_of("drift", "text_a", "tokens") == severity


def test_an_exception_for_nothing_is_told_with_what_there_is():
    with pytest.raises(
        ValidationError, match=r"severity 'drift:tokenz': 'tokenz' .*: did you mean 'tokens'\?"
    ):
        Validation(severity={"drift:tokenz": "warn"})
    known = (
        "anomalies, drift, skew, splits, leaks, text_a, text_b, vector, label, label_balance, "
        "label_distribution, label_agreement, characters, tokens, out_of_vocabulary, token_distribution, "
        r"numbers, shared_rows, shared_texts \["
    )
    with pytest.raises(ValidationError, match=f"'xyz' is no check, feature or kind: known are {known}"):
        Validation(severity={"xyz": "warn"})


def test_bulk_rows_are_read_as_the_data_but_for_the_label():
    found = Bulk(input=["x", "z"]).data(data(split={}, delimiter=";"))
    assert (found.path, found.label, found.split, found.delimiter) == (
        (Path("x"), Path("z")),
        None,
        None,
        ";",
    )
    named = data(header=False, columns=["y", "a", "b"])
    assert Bulk(input="x").data(named).columns == ("y", "a", "b")
    assert Bulk(input="x", columns=["b", "a"]).data(named).columns == ("b", "a")
    with pytest.raises(ValueError, match=r"^\[bulk\] does not fit \[data\]: text_b = 'b' is not among"):
        Bulk(input="x", columns=["a"]).data(named)


def test_the_gate_is_not_told_what_only_the_server_reads():
    assert Serving(request_log=Path("r"), max_batch=3).model_dump().keys() == Deployment.model_fields.keys()


def test_a_server_has_the_limits_of_its_section():
    found = Serving(max_body_bytes=1, max_batch=2, max_text_bytes=3, timeout=4)
    assert found.limits == RequestLimits(max_body_bytes=1, max_batch=2, max_text_bytes=3, timeout=4)


def test_requests_are_logged_where_there_is_a_folder_and_texts_where_they_may_be_kept(monkeypatch):
    monkeypatch.setattr(serving_config, "RequestLog", lambda *arguments: arguments)
    folder = Path("r")
    assert Serving().open_log() is None
    assert Serving(request_log=folder).open_log() == (folder, 1.0, False)
    assert Serving(request_log=folder, sample=0.5, texts="keep").open_log() == (folder, 0.5, True)


PRETRAINED = {"encoder": "pretrained", "weights": "w"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "pretrained"}, "needs weights"),
        ({**PRETRAINED, "token_vectors": "t"}, "has vectors of its own"),
        ({"layers": [1]}, "layers is for encoder = 'pretrained'"),
        ({**PRETRAINED, "layers": [2, 1]}, "layers must rise, got [2, 1]"),
        ({**PRETRAINED, "layers": [1, 1]}, "layers must rise, got [1, 1]"),
        ({**PRETRAINED, "layers": [1, 3, 2]}, "layers must rise"),
        ({**PRETRAINED, "trunk_dropout": 0.1}, "trunk_dropout is for encoder = 'pretrained'"),
        ({"frozen": False, "trunk_dropout": 0.1}, "trunk_dropout is for encoder = 'pretrained'"),
    ],
)
def test_a_tower_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValidationError) as refused:
        PairModel(**changes)
    assert said in str(refused.value)


def test_a_tower_that_only_seems_to_is_taken():
    assert PairModel(**PRETRAINED, layers=[1, 2, 5]).layers == (1, 2, 5)
    assert PairModel(**PRETRAINED, frozen=False, trunk_dropout=0.0).trunk_dropout == 0
    assert PairModel(**{"token_vectors": "t", "encoder": "lstm"}).frozen
    for training in (PairTraining, VaeTraining):
        assert training(epochs=3, warmup_epochs=2.9).epochs == 3
        for warmup in (3, 4):
            with pytest.raises(
                ValidationError, match=f"warmup_epochs = {warmup}.0 leaves nothing of epochs = 3"
            ):
                training(epochs=3, warmup_epochs=warmup)


def test_the_loss_follows_the_label_unless_it_is_named():
    assert [PairTraining().loss_for(kind) for kind in ("classes", "score", "binary")] == [
        "cross_entropy",
        "mse",
        "mse",
    ]
    assert PairTraining(loss="cosent").loss_for("score") == "cosent"


def test_a_vae_has_one_kind_of_values_and_one_bound():
    assert Vae(likelihood="gaussian").binarization == "none"
    assert Vae(binarization="fixed").likelihood == "bernoulli"
    assert Vae(importance_samples=2).free_bits == 0
    assert Vae(free_bits=0.5, importance_samples=1).free_bits == 0.5
    with pytest.raises(ValidationError, match="the IWAE bound has no KL term"):
        Vae(free_bits=0.5, importance_samples=2)


def test_keys_that_are_paths_are_known_by_their_types():
    assert set(path_keys(Config)) == {
        ("data", "train"), ("data", "eval"), ("data", "test"), ("data", "path"), ("data", "pattern"),
        ("data", "schema_file"), ("data.spans", "marker"), ("bulk", "input"), ("model", "weights"),
        ("model", "token_vectors"), ("validation", "serving_log"), ("serving", "directory"),
        ("serving", "golden_file"), ("serving", "request_log"),
    }  # fmt: skip
