from __future__ import annotations

import io
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from PIL import Image

from trainer.charts import bar_chart, line_chart, scatter_chart
from trainer.vae import pictures

SVG = "{http://www.w3.org/2000/svg}"


def count(svg: str, kind: str) -> int:
    return len(Xml.fromstring(svg).findall(f".//{SVG}{kind}"))  # noqa: S314


def test_a_png_holds_its_pixels():
    values = np.array([[0.0, 0.5, 1.0], [2.0, -1.0, np.nan]])
    pixels = np.asarray(Image.open(io.BytesIO(pictures.png(values))))
    assert pixels.tolist() == [[0, 128, 255], [255, 0, 0]]


def test_tiles_are_squares_or_lines_with_gaps_between():
    assert pictures.tile(np.zeros((6, 784)), 3).shape == (2 * 30 + 2, 3 * 30 + 2)
    assert pictures.tile(np.zeros((1, 64)), 1).shape == (36, 36)
    assert pictures.tile(np.zeros((2, 6)), 1).shape == (2 * (5 + 2) + 2, 30 + 4)


def test_every_picture_is_written_and_readable(small, stripes, tmp_path):
    history = {"negative_elbo": [3.0, 2.0], "val_negative_elbo": [3.5, 2.5], "kl": [0.1, 0.2]}
    labels = ["<a>" if row % 2 else "b" for row in range(64)]
    files = pictures.write_all(tmp_path / "pictures", small(), stripes, [0.5, 0.1], history, labels)
    assert [file.name for file in files] == [
        "reconstructions.png", "samples.png", "latent_scatter.svg", "kl_by_dimension.svg", "loss_curves.svg",
        "latent_grid.png",
    ]  # fmt: skip
    for file in files:
        if file.suffix == ".png":
            Image.open(file).verify()
        else:
            Xml.fromstring(file.read_text())  # noqa: S314


def test_a_grid_needs_two_latents(small):
    with pytest.raises(ValueError, match="2 latent dimensions, the model has 3"):
        pictures.latent_grid(small(latent=3))


@pytest.mark.parametrize("latent", [1, 3])
def test_a_scatter_shows_the_two_latents_that_vary_most(small, stripes, latent):
    # 64 points, and one in the legend for each of two labels.
    assert count(pictures.latent_scatter(small(latent=latent), stripes, [0, 1] * 32), "circle") == 66
    assert count(pictures.latent_scatter(small(latent=latent), stripes), "circle") == 64


def test_a_chart_survives_one_epoch_no_epoch_and_numbers_that_are_none():
    assert count(line_chart({"loss": [1.0], "val_loss": [float("nan")]}, "t", "x", "y"), "polyline") == 2
    assert count(line_chart({}, "t", "x", "y"), "polyline") == 0
    assert count(bar_chart([0.0, 0.0], "t", "x", "y"), "rect") == 2 + 2
    assert "nan" not in scatter_chart(np.array([[np.nan, 1.0], [0.0, 0.0]]), None, "t", "x", "y")
