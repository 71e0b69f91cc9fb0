from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.configuration import load
from trainer.dense.dense_config import Dense, DenseTraining
from trainer.errors import ConfigError
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.vae.vae_config import Vae, VaeTraining

ROOT = Path(__file__).parents[3]
PIPELINE = '[pipeline]\nname = "twins"\n'
DATA = """
[data]
format = "csv"
train = "data/train.csv"
eval = "../eval.csv"
test = "/far/test.csv"
text_a = "a"
text_b = "b"
"""
LABEL = 'label = { column = "score", kind = "score", range = [0, 5] }\n'
VALID = PIPELINE + DATA + LABEL
VECTOR = PIPELINE + DATA.split("text_a")[0] + 'vector = { columns = ["a", "b"], dimension = 2 }\n'


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file and gives its path."""

    def write_text(text: str | bytes) -> Path:
        path = tmp_path / "twins.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_text


def message(path: Path, *settings: str) -> str:
    """The one line that a wrong configuration gives, without the file's name in front."""
    with pytest.raises(ConfigError) as caught:
        load(path, settings)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.exit_code == 2
    return said.removeprefix(f"{path}: ")


def test_a_valid_file_has_its_values_and_defaults(write):
    config = load(write(VALID))
    assert config.pipeline.name == "twins"
    assert config.data.label is not None
    assert config.data.label.bounds == (0.0, 5.0)
    assert config.training.epochs > 0
    assert config.gates.split == "test"
    assert config.serving.gate_timeout == 120.0
    assert "--runner=FnApiRunner" in config.beam.options
    assert config.spec.label == config.data.label


def test_who_needs_no_range_may_leave_it_out(write):
    gaussian = load(write(VECTOR + '[model]\nfamily = "vae"\nlikelihood = "gaussian"\n'))
    assert gaussian.spec.vector.range is None
    ranged = VECTOR.replace("= 2", "= 2, range = [-1, 1.5]") + '[model]\nfamily = "vae"\n'
    assert load(write(ranged)).spec.vector.range == (-1, 1.5)
    # A component is told no likelihood that it has no use for, and must not take the default for it.
    assert type(gaussian.spec).model_validate_json(gaussian.spec.narrowed(())).vector.dimension == 2


def test_a_configuration_is_frozen(write):
    config = load(write(VALID))
    with pytest.raises(ValueError, match="frozen"):
        config.training.epochs = 3  # type: ignore[misc]


def test_the_files_that_come_with_the_project_are_valid():
    found = sorted((ROOT / "configs").glob("*.toml"))
    assert {path.stem for path in found} >= {"sts", "seed"}
    for path in found:
        assert load(path).pipeline.name


def test_paths_in_the_file_are_relative_to_it(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(write(VALID + 'schema_file = "~/own.pbtxt"\n[serving]\ndirectory = "served"\n'))
    assert config.data.train == (tmp_path / "data" / "train.csv",)
    assert config.data.eval == (tmp_path.parent / "eval.csv",)
    assert config.data.test == (Path("/far/test.csv"),)
    assert config.data.schema_file == Path.home() / "own.pbtxt"
    assert config.serving.directory == tmp_path / "served"


def test_paths_in_settings_are_relative_to_the_current_folder(write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load(write(VALID), ["data.train=mine.csv", "data.eval=/abs.csv", "serving.directory=out"])
    assert config.data.train == (elsewhere / "mine.csv",)
    assert config.data.eval == (Path("/abs.csv"),)
    assert config.data.test == (Path("/far/test.csv"),)
    assert config.serving.directory == elsewhere / "out"


def test_package_paths_are_files_of_installed_packages(write):
    import pydantic

    config = load(write(VALID), ["data.train=package:pydantic/py.typed"])
    assert config.data.train == (Path(pydantic.__file__).with_name("py.typed"),)


@pytest.mark.parametrize("name", ["no_such_package", "", "..", "json.decoder", "cmath"])
def test_package_paths_name_a_package_that_is_installed(write, name):
    assert message(write(VALID), f"data.train=package:{name}/train.csv") == (
        f"[data] train = 'package:{name}/train.csv': no package {name!r} is installed: run make setup"
    )


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("training.epochs=3", "epochs", 3),
        ("training.learning_rate=1e-2", "learning_rate", 0.01),
        (" training.epochs = 4 ", "epochs", 4),
        ("training.optimizer=rmsprop", "optimizer", "rmsprop"),
        ('training.optimizer="rmsprop"', "optimizer", "rmsprop"),
    ],
)
def test_settings_are_toml_or_plain_strings(write, setting, key, value):
    assert getattr(load(write(VALID), [setting]).training, key) == value


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "key", ["training.learning_rate", "gates.floors.spearman", "validation.limits.numbers"]
)
def test_a_number_is_finite(write, key, value):
    said = message(write(VALID), f"{key}={value}")
    assert said.startswith(f"[{key.split('.')[0]}] {key.split('.', 1)[1]} = ")
    assert "finite" in said or "greater than" in said


def test_settings_replace_values_of_the_file_and_the_last_one_wins(write):
    path = write(VALID + "[training]\nepochs = 5\nseed = 7\n")
    training = load(path, ["training.epochs=6", "training.epochs=8"]).training
    assert (training.epochs, training.seed) == (8, 7)


def test_settings_can_be_tables_and_hold_equals_signs(write):
    config = load(write(VALID), ["gates.floors={spearman = 0.5, pearson = 0.4}", "data.text_a=a=b"])
    assert config.gates.floors == {"spearman": 0.5, "pearson": 0.4}
    assert config.data.text_a == "a=b"


@pytest.mark.parametrize("setting", ["training.epochs", "epochs=3", "=3", ".epochs=3", "training.=3", ""])
def test_settings_have_a_section_and_a_key(write, setting):
    assert message(write(VALID), setting) == (
        f"--set {setting}: write it as section.key=value, for example --set training.epochs=3"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATA + LABEL, "[pipeline] is missing: add it"),
        (PIPELINE, "[data] is missing: add it"),
        ("", "[pipeline] is missing: add it (and 1 more)"),
        ("[pipeline]\n" + DATA + LABEL, "[pipeline] name is missing: add it"),
        (VALID.replace('format = "csv"\n', ""), "[data] format is missing: add it"),
        (VALID + "[trainig]\nepochs = 3\n", "unknown key [trainig]: did you mean 'training'?"),
        (VALID + "[training]\nepoch = 3\n", "unknown key [training] epoch: did you mean 'epochs'?"),
        (
            VALID.replace("range", "rang"),
            "unknown key [data] label.rang: did you mean 'range'?",
        ),
        (
            VALID + "[serving]\nzzz = 3\n",
            "unknown key [serving] zzz: known are batch_rows, directory, gate_timeout, golden, golden_file, "
            "keep_versions, max_batch, max_batch_p99_ms, max_body_bytes, max_memory_mb, max_p50_ms",
        ),
        (
            VALID + "[serving]\nkeep_versions = 1\n",
            "[serving] keep_versions = 1: input should be greater than or equal to 2",
        ),
        (
            VALID + "[[serving.golden]]\ninputs = {}\ninput = {}\n",
            "unknown key [serving] golden.0.input: did you mean 'inputs'?",
        ),
        (
            VALID + "[serving]\ngolden_file = 'g.json'\n[[serving.golden]]\ninputs = {}\n",
            "[serving]: golden stands in place of golden_file: remove one of the two",
        ),
        (
            VALID + '[training]\nepochs = "many"\n',
            '[training] epochs = "many": input should be a valid integer, unable to parse string',
        ),
        (VALID + "[training]\nepochs = 0\n", "[training] epochs = 0: input should be greater than 0"),
        (VALID + "[training]\nepochs = 2.5\n", "[training] epochs = 2.5: input should be a valid integer"),
        (VALID + '[model]\nhead = "cosin"\n', "[model] head = \"cosin\": input should be 'cosine'"),
        (VALID + '[model]\nfamily = "tree"\n', '[model] family = "tree": known are pair, vae, dense'),
        (
            VALID + '[model]\nfamily = "vae"\n[training]\nepoch = 1\n',
            "unknown key [training] epoch: did you mean 'epochs'?",
        ),
        (VALID + '[model]\nfamily = "vae"\n', "the file: family 'vae' learns from vectors: give [data]"),
        (
            VECTOR + '[model]\nfamily = "vae"\n',
            '[model] likelihood = "bernoulli" needs [data.vector] range, the lowest and highest value that '
            'there can be: declare it, or set likelihood = "gaussian"',
        ),
        (
            VECTOR.replace("= 2", "= 2, range = [1e9, 1000000001]") + '[model]\nfamily = "vae"\n',
            "[data.vector] range = [1000000000.0, 1000000001.0] is one number in float32",
        ),
        (
            VALID + '[model]\nencoder = "lstm"\nweights = "w"\n',
            "the file: weights is for encoder = 'pretrained', not for 'lstm': remove it",
        ),
        (
            VALID + '[training]\nloss = "in_batch"\n',
            "the file: loss = 'in_batch' is for pairs that match: give a [data] label of kind binary",
        ),
        (
            VALID.replace('"score", range = [0, 5]', '"binary"')
            + '[model]\nhead = "interaction"\n[training]\nloss = "in_batch"\n',
            "the file: loss = 'in_batch' trains the tower alone, and head = 'interaction' would stay",
        ),
        (
            VALID + '[tuning]\nspace = { "model.head" = ["cosine", "sine"] }\n',
            "[tuning] space 'model.head': \"sine\": input should be 'cosine'",
        ),
        (
            VALID
            + '[tuning]\nspace = { "model.embedding_dim" = [8, 16] }\n'
            + "[retraining]\nwarm_start = true\n",
            "[tuning] space 'model.embedding_dim'",
        ),
        (VALID + "[model]\ndropout = 1\n", "[model] dropout = 1: input should be less than 1"),
        (VALID.replace('"a"', "3"), "[data] text_a = 3: input should be a valid string"),
        (VALID.replace('"twins"', '"Twins 2"'), "[pipeline] name = \"Twins 2\": string should match pattern"),
        (VALID.replace("[0, 5]", "[5, 0]"), "[data] label: range must rise and be finite, got [5.0, 0.0]"),
        (VALID.replace("[0, 5]", "[1, 1]"), "[data] label: range must rise and be finite, got [1.0, 1.0]"),
        (VALID.replace("[0, 5]", "[0]"), "[data] label.range.1 is missing: add it"),
        (
            VALID.replace(", range = [0, 5]", ""),
            "[data] label: a label of kind 'score' needs its range, for example range = [0, 5]",
        ),
        (
            VALID.replace('"score", range', '"binary", range'),
            "[data] label: range belongs to kind = 'score', not to 'binary'",
        ),
        (VALID.replace('kind = "score"', 'kind = "stars"'), "[data] label.kind = \"stars\": input should be"),
        (VALID + 'encoding = "utf-99"\n', "[data]: encoding = 'utf-99' is not known to Python, try"),
        (VALID + '[gates]\nsplit = "train"\n', "[gates] split = \"train\": input should be 'eval' or 'test'"),
        (VALID + "[bulk]\n", "[bulk] input is missing: add it"),
        (
            VALID + '[bulk]\ninput = "x.csv"\ncolumn = ["a"]\n',
            "unknown key [bulk] column: did you mean 'columns'?",
        ),
        (
            VALID + '[bulk]\ninput = "x.csv"\ncolumns = ["a", "b"]\n',
            "[bulk] does not fit [data]: columns is for files without a header: set header = false",
        ),
        (
            VALID
            + 'header = false\ncolumns = ["score", "a", "b"]\n'
            + '[bulk]\ninput = "x.csv"\ncolumns = ["a", "c"]\n',
            "[bulk] does not fit [data]: text_b = 'b' is not among columns = ['a', 'c']",
        ),
        (VALID + "header = 7\n", "[data] header = 7: input should be a valid boolean"),
        (VALID + 'schema_file = "s3://käse/x"\n', '[data] schema_file = "s3://käse/x": a URL, and only'),
        (VALID + '[gates]\nsplit = "prüfen"\n', '[gates] split = "prüfen": input should be'),
        (
            VALID + "[training]\nepochs = 3\nwarmup_epochs = 3\n",
            "[training]: warmup_epochs = 3.0 leaves nothing of epochs = 3: let the learning rate rise",
        ),
        ("[pipeline\n", "not valid TOML: "),
        (
            VALID + 'schema_file = "C:\\Users\\me\\x"\n',
            'not valid TOML: Invalid hex value (at line 12, column 20): schema_file = "C:\\Users\\me\\x": '
            "in double quotes \\ begins an escape: write / in its place, or single quotes around it",
        ),
        (VALID + "schema_file = 'C:\\x'\n", '[data] schema_file = "C:\\\\x": a path of Windows, and'),
        (VALID + 'schema_file = "C:\\temp"\n', '[data] schema_file = "C:\\temp": there is a control'),
        (VALID + 'schema_file = "s3://b/x"\n', '[data] schema_file = "s3://b/x": a URL, and only files'),
        (VALID + 'delimiter = ";;"\n', "[data]: delimiter = ';;': give one character, or set"),
        (PIPELINE + "name = 3\n", "not valid TOML: "),
        (b"[pipeline]\nname = \"caf\xe9\"\n", "cannot be read: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_key_value_and_fix(write, text, expected):
    assert message(write(text)).startswith(expected)


def test_other_files_are_refused(tmp_path):
    missing = tmp_path / "no.toml"
    assert message(missing) == "no such file: give the path of a configuration, such as configs/sts.toml"
    assert message(tmp_path).startswith("cannot be read: ")


def test_a_setting_with_a_mistake_is_named_like_one_in_the_file(write):
    assert message(write(VALID), "training.epoch=3") == "unknown key [training] epoch: did you mean 'epochs'?"
    assert message(write(VALID), "trainin.epochs=3") == "unknown key [trainin]: did you mean 'training'?"


def test_a_setting_for_a_section_that_is_no_table(write):
    path = write("training = 3\n" + VALID)
    assert message(path).startswith("[training] = 3: input should be a valid dictionary")
    assert message(path, "training.epochs=3").startswith("[training] = 3: input should be a valid dictionary")
    assert message(write("model = 3\n" + VALID)).startswith("[model] = 3: input should be a valid dictionary")


def test_long_values_are_cut(write):
    said = message(write(VALID), f"training.epochs={'x' * 1_000}")
    assert said.startswith(f'[training] epochs = "{"x" * 79}: input should be a valid integer')
    deep = ".".join("a" * 11) + "=1"
    assert message(write(VALID), deep + "0" * 99) == f"--set {deep}{'0' * 57}: nested too deeply"
    assert message(write(VALID), ".".join("a" * 10) + "=1").startswith("unknown key [a]")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ('[model]\nfamily = "dense"\nqqqq = 1\n', ("[model] qqqq", Dense.model_fields)),
        ('[model]\nfamily = "pair"\nqqqq = 1\n', ("[model] qqqq", PairModel.model_fields)),
        ('[model]\nfamily = "vae"\nqqqq = 1\n', ("[model] qqqq", Vae.model_fields)),
        (
            '[model]\nfamily = "dense"\n[training]\nqqqq = 1\n',
            ("[training] qqqq", DenseTraining.model_fields.keys() - {"family"}),
        ),
        ("[training]\nqqqq = 1\n", ("[training] qqqq", PairTraining.model_fields.keys() - {"family"})),
        (
            '[model]\nfamily = "vae"\n[training]\nqqqq = 1\n',
            ("[training] qqqq", VaeTraining.model_fields.keys() - {"family"}),
        ),
        (
            '[kubeflow]\nimage = "a:1"\nvolume_claim = "c"\n'
            'default.tolerations = [{ qqqq = 1, key = "k" }]\n',
            ("[kubeflow] default.tolerations.0.qqqq", ("effect", "key", "operator", "value")),
        ),
        ("[bulk]\nqqqq = 1\ninput = 'x'\n", ("[bulk] qqqq", ("columns", "input"))),
    ],
)
def test_the_keys_that_are_known_are_those_of_the_section_and_the_family(write, text, known):
    key, names = known
    said = message(write(VALID + text)).partition(" (and ")[0]
    assert said == f"unknown key {key}: known are {', '.join(sorted(names))}"


def test_each_path_of_a_list_is_relative_to_the_file(write, tmp_path):
    several = VALID.replace('"data/train.csv"', '["a.csv", "/b.csv"]')
    assert load(write(several)).data.train == (tmp_path / "a.csv", Path("/b.csv"))
    said = message(write(VALID.replace('"data/train.csv"', '["a.csv", 3]')))
    assert said.startswith("[data] train.1 = 3: input is not a valid path")


@pytest.mark.parametrize("more", ["", "[retraining]\n"])
def test_a_search_may_change_the_shape_where_no_training_starts_from_another(write, more):
    tuning = '[tuning]\nspace = { "model.embedding_dim" = [8, 16] }\n'
    found = load(write(VALID + tuning + more)).tuning
    assert found is not None
    assert found.space == {"model.embedding_dim": [8, 16]}
