from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainer.vae.vae_config import Vae, VaeTraining


def test_the_decoder_mirrors_the_encoder_unless_given():
    assert Vae(encoder=(8, 4)).decoder_widths == (4, 8)
    assert Vae(encoder=(8, 4), decoder=(5,)).decoder_widths == (5,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"likelihood": "gaussian", "binarization": "dynamic"}, 'likelihood = "bernoulli"'),
        ({"free_bits": 0.5, "importance_samples": 5}, "free_bits = 0"),
        ({"encoder": ()}, "encoder"),
        ({"latent": 0}, "latent"),
        ({"likelihood": "poisson"}, "'bernoulli' or 'gaussian'"),
        ({"widths": (3,)}, "widths"),
        ({"anomaly_quantile": 1.0}, "anomaly_quantile"),
    ],
)
def test_an_impossible_model_is_refused_with_the_key_named(options, words):
    with pytest.raises(ValidationError, match=words):
        Vae(**options)


def test_a_learning_rate_that_never_arrives_is_refused():
    with pytest.raises(ValidationError, match="warmup_epochs"):
        VaeTraining(epochs=5, warmup_epochs=5)


def test_a_configuration_cannot_change():
    with pytest.raises(ValidationError, match="frozen"):
        Vae().latent = 3  # type: ignore[misc]
