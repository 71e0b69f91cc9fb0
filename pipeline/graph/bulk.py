"""The part of the graph that only a configuration with `[bulk]` has."""

from __future__ import annotations

import json

from tfx.dsl.components.base.base_node import BaseNode

from components.bulk_inferrer.component import BulkExampleGen, BulkInferrer
from components.example_gen.component import states
from pipeline.config.configuration import Config
from pipeline.graph.fingerprint import step_fingerprint
from trainer.families import MODULES


def bulk_steps(config: Config, trainer: BaseNode, pusher: BaseNode) -> list[BaseNode]:
    """Rows that nobody has labelled yet, and what the model that was pushed says of them."""
    if config.bulk is None:
        return []
    data = config.bulk.data(config.data)
    rows = BulkExampleGen(
        data=data.model_dump_json(exclude={"schema_file", "schema_text"}),
        changed=json.dumps(states(data)),
        code=step_fingerprint("components.bulk_inferrer.component"),
    )
    rows.add_upstream_node(pusher)  # whatever is wrong with these rows, the model is in service by then
    inferrer = BulkInferrer(
        examples=rows.outputs["examples"],
        model=trainer.outputs["model"],
        pushed_model=pusher.outputs["pushed_model"],
        code=step_fingerprint("components.bulk_inferrer.component", family=MODULES[config.model.family]),
    )
    return [rows, inferrer]
