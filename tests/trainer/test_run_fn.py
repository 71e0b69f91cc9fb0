"""Which folder a training may save in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trainer.fitting.training import own_folder

FILES = {"train": ["/t/a.gz", "/t/b.gz"], "eval": ["/e/a.gz"]}


def folder(files=FILES, transform="/transform/7", base=None, **config):
    given = {"spec": "{}", "code": "c0de", "checkpoints": "/root/checkpoints", **config}
    arguments = SimpleNamespace(custom_config=given, transform_graph_path=transform, base_model=base)
    return own_folder(arguments, files, given["spec"])


def test_the_same_training_finds_its_folder_again():
    assert folder() == folder()
    assert folder().startswith("/root/checkpoints/")


@pytest.mark.parametrize(
    "change",
    [
        {"spec": '{"seed": 2}'},
        {"code": "changed"},
        {"transform": "/transform/8"},
        {"base": "/Trainer/model/3/Format-Serving"},
        {"files": {"train": ["/t/a.gz"], "eval": ["/t/b.gz", "/e/a.gz"]}},
        {"checkpoints": "/other"},
        {"reads": "0ther"},
    ],
)
def test_another_training_has_another_folder(change):
    assert folder(**change) != folder()


def test_no_folder_no_checkpoints():
    given = SimpleNamespace(custom_config={"spec": "{}"}, transform_graph_path="/t/7", base_model=None)
    assert own_folder(given, FILES, "{}") is None
