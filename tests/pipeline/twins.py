"""Configurations of a pair's pipeline, which end with `[data]`, and sections for every node there can be."""

from pathlib import Path

CONFIG = """
[pipeline]
name = "twins"
[data]
format = "csv"
text_a = "a"
text_b = "b"
label = { column = "same", kind = "binary" }
"""
# With a file for each split, and a score.
SCORED = """
[pipeline]
name = "twins"
[data]
format = "csv"
train = "train.csv"
eval = "eval.csv"
test = "test.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }
"""
EVERYTHING = """
pattern = "{SPAN}.csv"
[retraining]
warm_start = true
[tuning]
space = { "training.learning_rate" = [0.1, 0.2] }
[bulk]
input = "bulk.csv"
"""


def mounted(mount: Path) -> str:
    """A configuration for a cluster, whose last section is `[kubeflow]`; its data is on the volume."""
    return f"""{CONFIG}path = "{mount}/pairs.csv"
[kubeflow]
image = "registry.example/kembar:1"
volume_claim = "kembar"
mount_path = "{mount}"
"""
