"""A model whose ops another library brings, loaded in a process that has not imported it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("tensorflow_text") is None, reason="tensorflow-text is not installed"
)

SAVE = """
import sys, tensorflow as tf, tensorflow_text as text
module = tf.Module()
module.fold = tf.function(lambda texts: {"folded": text.case_fold_utf8(texts)})
signature = module.fold.get_concrete_function(tf.TensorSpec([None], tf.string, "texts"))
tf.saved_model.save(module, sys.argv[1], signatures={"serving_default": signature})
"""
LOAD = """
import sys, tensorflow as tf
from trainer.exporting.ops import load_model
assert "tensorflow_text" not in sys.modules
answer = load_model(sys.argv[1]).signatures["serving_default"](texts=tf.constant(["Straße"]))
assert answer["folded"].numpy()[0] == b"strasse"
assert "tensorflow_text" in sys.modules
"""


def test_missing_ops_are_imported(tmp_path):
    for script in (SAVE, LOAD):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "m")], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-1_000:]


def test_other_faults_are_not_hidden(tmp_path):
    from trainer.exporting.ops import load_model

    with pytest.raises(OSError, match="does not exist"):
        load_model(str(tmp_path))
