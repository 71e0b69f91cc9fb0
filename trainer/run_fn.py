"""The run_fn that TFX Trainer calls, by dotted path."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from tempfile import TemporaryDirectory

import tensorflow as tf
import tensorflow_transform as tft

from trainer.exporting.inference import with_inference
from trainer.exporting.saved_model import hold_variables
from trainer.exporting.warmup import write_warmup
from trainer.families import family_of
from trainer.files import TRAINING_LOG
from trainer.fitting import checkpoint, devices, warm_start, workers
from trainer.fitting.training import FnArgs, TransformedData, own_folder, split_files
from trainer.spec import Spec, narrow
from trainer.text.vocabulary import vocabulary
from trainer.tuning import laid_over, tuned_values
from trainer.undefined import strict


def run_fn(fn_args: FnArgs) -> None:
    """Trains, and exports with explicit signatures.

    A training whose process was killed goes on where it was saved last, if it is started again on the same
    data, transform, configuration and code. Of several workers, which TF_CONFIG names, the chief alone saves
    and exports; all need to see the same files.

    Args:
      fn_args: TFX's FnArgs; `custom_config["spec"]` is a trainer.spec.Spec as JSON. `hyperparameters`, where
        there was a search, are laid over it. Where there are "checkpoints", a folder that outlives this
        step's outputs, "code" and "reads", fingerprints of the source and of what the model is told to read.
        With `base_model` the weights begin as that model's.

    Raises:
      ConfigError: that model has another shape.
    """
    devices.grow_memory()
    # Before anything else uses TensorFlow: afterwards no worker can be joined.
    workers.strategy()
    spec = Spec.model_validate_json(fn_args.custom_config["spec"])
    tuned = tuned_values(fn_args.hyperparameters)
    if tuned:
        spec = laid_over(spec, tuned)
    family = family_of(spec)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    files = split_files(fn_args)
    saved = own_folder(fn_args, files, spec.model_dump_json())
    before = fn_args.base_model
    base = warm_start.find(warm_start.folder_beside(before), spec) if before else None
    data = TransformedData(files, transform, fn_args.model_run_dir, saved, base=base)
    if not workers.is_chief():
        # The chief needs this one's part of every batch, and nothing of what it leaves.
        with TemporaryDirectory() as folder:
            family.fit(replace(data, log_dir=folder), spec)
        return
    model, log, threshold = family.fit(data, spec)
    if tuned:
        log.details["tuned"] = tuned
    # Never model.save: the file would hold Keras' own format and no signatures.
    served = family.export(model, transform, spec, threshold)
    module, signatures = narrow(served, tf.Module), with_inference(served.served())
    warm_start.leave(warm_start.folder_beside(fn_args.serving_model_dir), model, spec, vocabulary(transform))
    hold_variables(module, model)
    tf.saved_model.save(module, fn_args.serving_model_dir, signatures=signatures)
    write_warmup(fn_args.serving_model_dir, signatures, family.golden_requests(spec))
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, TRAINING_LOG), "w") as file:
        file.write(json.dumps(strict(asdict(log)), indent=2, allow_nan=False))
    checkpoint.remove(saved)
