"""The steps that not every pipeline has: for retraining, spans and a warm start."""

from __future__ import annotations

import json

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import BaseChannel, Channel, standard_artifacts

from components.data_gate.verdict import DataVerdict
from components.live_metrics.component import LiveMetrics
from components.nodes import CACHE_RESOLVER, SERVED_RESOLVER, WARM_START_RESOLVER, WINDOW_RESOLVER
from components.resolvers.champion import NewToStrategy, WarmStartStrategy
from components.resolvers.window import CacheStrategy, WindowStrategy
from components.retraining_gate.component import RetrainingGate
from pipeline.config.configuration import Config
from pipeline.graph.fingerprint import step_fingerprint
from pipeline.graph.plan import Plan
from trainer.families import MODULES


def decision(
    config: Config, plan: Plan, spec: str, example_gen: BaseNode, data_gate: BaseNode
) -> list[BaseNode]:
    """Where `[retraining]` asks for it: the model in service on the new data, and the decision to train."""
    if config.retraining is None:
        return []
    served = Resolver(
        strategy_class=NewToStrategy,
        config={"task": config.spec.task(), "name": config.pipeline.name},
        served=Channel(type=standard_artifacts.Model),
        pushed=Channel(type=standard_artifacts.PushedModel),
        examples=example_gen.outputs["examples"],
    ).with_id(SERVED_RESOLVER)
    served.add_upstream_node(data_gate)
    live = LiveMetrics(
        examples=example_gen.outputs["examples"],
        spec=spec,
        code=step_fingerprint("components.live_metrics.component", family=MODULES[config.model.family]),
        served=served.outputs["served"],
    )
    gate = RetrainingGate(
        verdict=data_gate.outputs["verdict"],
        live=live.outputs["evaluation"],
        retraining=config.retraining.model_dump_json(),
        reason=plan.reason,
        code=step_fingerprint("components.retraining_gate.component"),
    )
    return [served, live, gate]


def window(config: Config, plan: Plan, example_gen: BaseNode, data_gate: BaseNode) -> list[BaseNode]:
    """With `[data] pattern`: the accepted examples of the window, and what Transform counted in them."""
    if config.data.pattern is None:
        return []
    spans = Resolver(
        strategy_class=WindowStrategy,
        config={"window": json.dumps(plan.window)},
        examples=Channel(type=standard_artifacts.Examples),
        verdicts=Channel(type=DataVerdict),
    ).with_id(WINDOW_RESOLVER)
    spans.add_upstream_nodes([example_gen, data_gate])
    cache = Resolver(
        strategy_class=CacheStrategy,
        cache=Channel(type=standard_artifacts.TransformCache),
        examples=spans.outputs["examples"],
    ).with_id(CACHE_RESOLVER)
    return [spans, cache]


def warm_start(
    config: Config, examples: BaseChannel, behind: list[BaseNode]
) -> tuple[list[BaseNode], dict[str, BaseChannel]]:
    """The model in service, where training starts from it; and the argument that takes it."""
    if config.retraining is None or not config.retraining.warm_start:
        return [], {}
    start = Resolver(
        strategy_class=WarmStartStrategy,
        config={"name": config.pipeline.name},
        base=Channel(type=standard_artifacts.Model),
        pushed=Channel(type=standard_artifacts.PushedModel),
        examples=examples,
    ).with_id(WARM_START_RESOLVER)
    start.add_upstream_nodes(behind[-1:])
    return [start], {"base_model": start.outputs["base"]}
