"""What `[tuning]` accepts, and when found values stay good."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tfx.types import Channel, standard_artifacts

from pipeline.config.configuration import Config, load
from pipeline.graph.tuning import check_objective, nodes, purpose
from trainer.errors import ConfigError
from trainer.tuning import decoded, encoded, laid_over, tunable

PAIR = """
[pipeline]
name = "twins"

[data]
format = "csv"
path = "pairs.csv"
text_a = "a"
text_b = "b"
label = { column = "y", kind = "score", range = [0, 5] }
"""
VECTOR = """
[pipeline]
name = "rows"

[data]
format = "parquet"
path = "rows.parquet"
vector = { column = "v", dimension = 4, range = [0, 1] }
"""
VAE = VECTOR + '[model]\nfamily = "vae"\n'
DENSE = (
    VECTOR + 'label = { column = "y", kind = "classes", classes = ["a", "b"] }\n[model]\nfamily = "dense"\n'
)


def configured(tmp_path, space, text=PAIR, more="", settings=()) -> Config:
    path = tmp_path / "twins.toml"
    path.write_text(f"{text}\n[tuning]\n{more}\n[tuning.space]\n{space}\n")
    return load(path, settings)


def refused(tmp_path, *arguments, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, *arguments, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.exit_code == 2
    return said.removeprefix(f"{tmp_path / 'twins.toml'}: ")


@pytest.mark.parametrize("quote", ['"', ""])
def test_keys_with_and_without_quotes_are_the_same(tmp_path, quote):
    space = f"{quote}training.learning_rate{quote} = {{ min = 1e-4, max = 1e-2, log = true }}"
    tuning = configured(tmp_path, space).tuning
    assert tuning.space == {"training.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}}
    assert (tuning.trials, tuning.search, tuning.every_run, tuning.objective) == (10, "random", False, None)


def test_a_setting_replaces_one_key_of_the_space(tmp_path):
    space = '"model.dropout" = [0.0, 0.5]\n'
    tuning = configured(tmp_path, space, settings=["tuning.trials=2"]).tuning
    assert (tuning.space, tuning.trials) == ({"model.dropout": [0.0, 0.5]}, 2)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("training.epoch = [1]", "'training.epoch' is no key: did you mean 'training.epochs'?"),
        ("gates.floors = [1.0]", "'gates' = {'floors': [1.0]}: a range is { min = NUMBER"),
        ('"zzz" = [1.0]', "'zzz' is no key; can be tuned: model.encoder, model.frozen, model.layers"),
        ("training.family = ['pair']", "'training.family' is no key"),
        ("training.seed = [1, 2]", "'training.seed' would find a lucky number and no setting"),
        ("model.ngrams = [[2], [3]]", "'model.ngrams' shapes what Transform makes before any trial; can be"),
        ("model.vocabulary_size = { min = 10, max = 20 }", "'model.vocabulary_size' shapes what"),
        ("model.lowercase = [true]", "'model.lowercase' shapes what Transform makes"),
        ("model.embedding_dim = []", "'model.embedding_dim' = []: write a list of values"),
        ("model.embedding_dim = 5", "'model.embedding_dim' = 5: write a list of values"),
        ("model.embedding_dim = [8, 'many']", "'model.embedding_dim': \"many\": input should be a valid"),
        ("model.embedding_dim = [8, 0]", "'model.embedding_dim': 0: input should be greater than 0"),
        ("model.embedding_dim = { min = 1.5, max = 8 }", "'model.embedding_dim': 1.5: input should be a"),
        ("model.dropout = { min = 0.1, max = 1.0 }", "'model.dropout': 1.0: input should be less than 1"),
        ("model.dropout = { min = 0.5, max = 0.1 }", "min = 0.5 is not below max = 0.1"),
        ("model.dropout = { min = 0.0, max = 0.1, log = true }", "min = 0.0 has no logarithm"),
        ("model.dropout = { min = 0.1, max = 0.2, log = 1 }", "log = 1: write true or false"),
        ("model.dropout = { min = 0.1 }", "a range is { min = NUMBER, max = NUMBER, log = true }"),
        ("model.dropout = { low = 0, min = 0, max = 1 }", "a range is { min = NUMBER, max = NUMBER, log"),
        ("model.head = { min = 0, max = 1 }", "'model.head' is no number: write a list of values"),
        ("training.compiled = { min = 0, max = 1 }", "'training.compiled' is no number: write a list"),
        ("model.encoder = ['average', 'pretrained']", "encoder = 'pretrained' needs weights"),
        ("training.label_smoothing = [0.0, 0.1]", "label_smoothing belongs to loss = 'cross_entropy'"),
    ],
)  # fmt: skip
def test_a_wrong_space_is_one_line(tmp_path, space, said):
    found = refused(tmp_path, space)
    assert found.startswith("[tuning] space")
    assert said in found


def test_a_head_that_the_loss_would_not_train_is_not_tried(tmp_path):
    text = PAIR.replace('kind = "score", range = [0, 5]', 'kind = "binary"')
    settings = ["training.loss=in_batch"]
    said = refused(tmp_path, "model.head = ['cosine', 'interaction']", text=text, settings=settings)
    assert "\"interaction\": loss = 'in_batch' trains the tower alone" in said


@pytest.mark.parametrize(
    ("text", "space"),
    [(PAIR, "model.embedding_dim = [16, 32]"), (VAE, "model.encoder = [[8], [8, 8]]")],
)
def test_a_warm_start_needs_one_shape(tmp_path, text, space):
    key = space.split()[0]
    said = refused(tmp_path, space, text, settings=["retraining.warm_start=true"])
    assert said == (
        f"[tuning] space '{key}' is the model's shape, which [retraining] warm_start = true keeps: "
        "remove one of the two"
    )
    assert configured(tmp_path, space, text, settings=["retraining.warm_start=false"]).tuning is not None


def test_a_warm_start_goes_with_a_search_for_other_keys(tmp_path):
    space = "model.dropout = [0.1, 0.2]\ntraining.learning_rate = [1e-3, 1e-2]"
    assert configured(tmp_path, space, settings=["retraining.warm_start=true"]).tuning is not None


def test_a_value_may_need_another_value_of_the_space(tmp_path):
    space = "training.label_smoothing = [0.0, 0.1]\ntraining.loss = ['mse', 'cross_entropy']"
    assert configured(tmp_path, space).tuning is not None


@pytest.mark.parametrize(
    ("text", "space", "said"),
    [
        (VAE, "model.likelihood = ['gaussian']", "'model.likelihood' shapes what Transform makes"),
        (
            VAE,
            "model.latent = [2, 4]",
            "'model.latent' is what baselines and gates are told before any trial",
        ),
        (VAE, "model.embedding_dim = [2]", "'model.embedding_dim' is no key"),
        (DENSE, "model.hidden = [[8], [0]]", "'model.hidden': [0]: input should be greater than 0"),
    ],
)
def test_each_family_has_its_keys(tmp_path, text, space, said):
    assert said in refused(tmp_path, space, text=text)


def test_what_can_be_tuned_by_family(tmp_path):
    vae = configured(
        tmp_path, "model.beta = { min = 0.5, max = 2.0 }\nmodel.encoder = [[8], [8, 8]]", text=VAE
    )
    assert {"model.encoder", "model.beta", "training.weight_average"} <= set(tunable(vae.spec))
    dense = configured(tmp_path, "model.hidden = [[8], [8, 8]]", text=DENSE)
    assert tunable(dense.spec) == [
        "model.hidden", "model.builder", "training.epochs", "training.batch_size", "training.learning_rate",
        "training.patience", "training.mixed_precision",
    ]  # fmt: skip


def test_a_cap_of_epochs(tmp_path):
    config = configured(tmp_path, "model.dropout = [0.1]", more="epochs = 3")
    assert config.tuning.capped(config.spec).training.epochs == 3
    assert config.spec.training.epochs == 15
    said = refused(tmp_path, "training.epochs = [2, 4]", more="epochs = 3")
    assert said == "[tuning] epochs = 3 caps what space 'training.epochs' tries: remove one"
    settings = ["training.warmup_epochs=4"]
    said = refused(tmp_path, "model.dropout = [0.1]", more="epochs = 3", settings=settings)
    assert said.startswith("[tuning] epochs = 3: warmup_epochs = 4.0 leaves nothing of epochs = 3")


@pytest.mark.parametrize("value", [3, 0.5, "adam", True, None, [1, 2], []])
def test_values_survive_keras_tuner(value):
    assert isinstance(encoded(value), int | float | str)
    assert decoded(encoded(value)) == value
    assert type(decoded(encoded(value))) is type(value)


def test_values_are_laid_over_and_checked(tmp_path):
    spec = configured(tmp_path, "model.dropout = [0.1]").spec
    over = laid_over(spec, {"model.head": "interaction", "training.learning_rate": 0.5})
    assert (over.model.head, over.training.learning_rate) == ("interaction", 0.5)
    assert over.model.embedding_dim == spec.model.embedding_dim
    assert spec.model.head is None
    with pytest.raises(ValueError, match="greater than 0"):
        laid_over(spec, {"training.learning_rate": 0.0})


@pytest.mark.parametrize(
    ("settings", "stays"),
    [
        (["training.seed=7"], True),
        (["training.epochs=3"], True),
        (["model.dropout=0.4"], True),  # tuned: the file's own value is not used
        (["data.path=other.csv"], True),
        (["tuning.every_run=true"], True),
        (["model.head=interaction"], False),
        (["model.ngrams=[2]"], False),
        (["training.batch_size=7"], False),
        (["data.text_a=c"], False),
        (["data.label={column='z', kind='score', range=[0, 5]}"], False),
        (["tuning.trials=3"], False),
        (["tuning.space={'model.dropout' = [0.1, 0.3]}"], False),
        (["pipeline.name=triplets"], False),
    ],
)
def test_when_found_values_stay_good(tmp_path, settings, stays):
    before = configured(tmp_path, "model.dropout = [0.1, 0.2]")
    after = configured(tmp_path, "model.dropout = [0.1, 0.2]", settings=settings)
    assert (purpose(before, before.tuning) == purpose(after, after.tuning)) == stays


def test_the_objective_is_what_training_measures(tmp_path):
    check_objective(configured(tmp_path, "model.dropout = [0.1]", more="objective = 'spearman'"))
    check_objective(configured(tmp_path, "model.beta = [0.1]", text=VAE, more="objective = 'reconstruction'"))
    with pytest.raises(ConfigError, match=r"objective = 'auc': no metric .*: there are spearman, loss"):
        check_objective(configured(tmp_path, "model.dropout = [0.1]", more="objective = 'auc'"))


def test_where_nothing_is_found_again_it_has_to_be_wanted(tmp_path):
    config = configured(tmp_path, "model.dropout = [0.1]")
    with pytest.raises(ConfigError, match="set every_run = true, or remove"):
        nodes(config, None, tmp_path, "", find_earlier=False, cached=True)


@pytest.mark.parametrize("cached", [True, False])
def test_without_the_cache_the_search_of_this_very_run_is_none_that_was_made_before(tmp_path, cached):
    config = configured(tmp_path, "model.dropout = [0.1]")
    transform = SimpleNamespace(
        outputs={
            "transformed_examples": Channel(type=standard_artifacts.Examples),
            "transform_graph": Channel(type=standard_artifacts.TransformGraph),
        }
    )
    [resolver, _], _ = nodes(config, transform, tmp_path, "code", find_earlier=True, cached=cached)
    assert bool(resolver._config["fingerprint"]) is cached
