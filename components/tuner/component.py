"""TFX's Tuner with one more input: the values of an earlier search, which make another one needless."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, ClassVar

from tfx.components.tuner import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ChannelParameter
from tfx.utils import io_utils, json_utils

from components.nodes import TUNING_FILE
from components.resolvers.tuned_values import FINGERPRINT, ORIGIN, PURPOSE
from components.resolvers.window import EXAMPLES_IDS, ids_of
from trainer.fitting import checkpoint
from trainer.progress import PROGRESS
from trainer.tuning import tuned_values

KEPT = "kept"


class TunerSpec(keys.TunerSpec):
    """TFX's own, with the input `kept`."""

    INPUTS: ClassVar[dict[str, ChannelParameter]] = {
        **keys.TunerSpec.INPUTS,
        KEPT: ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
    }


class Executor(executor.Executor):
    """TFX's search, or the values that are kept; and what was tried, as `tuning.json`."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes the best values, the results and what the resolver has to know of them.

        Raises:
          KembarError: all trials failed.
        """
        config = json_utils.loads(exec_properties[keys.CUSTOM_CONFIG_KEY])
        best = artifact_utils.get_single_instance(output_dict[keys.BEST_HYPERPARAMETERS_KEY])
        results = artifact_utils.get_single_uri(output_dict[keys.TUNER_RESULTS_KEY])
        best.set_string_custom_property(PURPOSE, config["purpose"])
        best.set_string_custom_property(FINGERPRINT, search_fingerprint(config))
        best.set_string_custom_property(EXAMPLES_IDS, ids_of(input_dict[keys.EXAMPLES_KEY]))
        kept = input_dict.get(KEPT)
        if kept:
            best.set_int_custom_property(ORIGIN, kept[0].get_int_custom_property(ORIGIN) or kept[0].id)
            report = _take(kept[0], best)
        else:
            scratch = self._get_tmp_dir()
            tuner = executor.search(input_dict, exec_properties, scratch, print_tuning_summary=False)
            executor.write_best_hyperparameters(tuner, output_dict)
            report = tuner.report()
            if config.get("checkpoints"):
                checkpoint.remove(tuner.folder)
        io_utils.write_string_file(os.path.join(results, TUNING_FILE), json.dumps(report, indent=2))


class Tuner(base_component.BaseComponent):
    """TFX's Tuner component: a search with keras-tuner, unless there is an earlier one's result."""

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        custom_config: dict[str, Any],
        kept: BaseChannel | None = None,
    ) -> None:
        """Trials learn from the split `train` and are judged on `eval`; no other is looked at.

        Args:
          examples: Transformed.
          transform_graph: What made them.
          custom_config: For trainer.tuner.tuner_fn, and "purpose", by which later runs find the values.
          kept: What KeptStrategy has found.
        """
        super().__init__(
            TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                tuner_fn="trainer.tuner.tuner_fn",
                train_args=trainer_pb2.TrainArgs(splits=["train"]),
                eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
                custom_config=json_utils.dumps(custom_config),
                kept=kept,
                best_hyperparameters=Channel(type=standard_artifacts.HyperParameters),
                tuner_results=Channel(type=standard_artifacts.TunerResults),
            )
        )


def search_fingerprint(config: dict[str, Any]) -> str:
    """SHA-256 of a search's whole configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _take(kept: Artifact, best: Artifact) -> dict[str, Any]:
    """Copies the values, and says so."""
    source = io_utils.get_only_uri_in_dir(kept.uri)
    content = io_utils.read_string_file(source)
    io_utils.write_string_file(os.path.join(best.uri, os.path.basename(source)), content)
    values = tuned_values(json.loads(content))
    PROGRESS.info("values of an earlier search: %s", json.dumps(values))
    return {"kept": True, "from": kept.uri, "best": {"values": values}, "trials": []}
