"""The steps of `[tuning]`: a search for hyperparameters, and the memory of earlier ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import BaseChannel, Channel, standard_artifacts

from components.nodes import TUNED_RESOLVER
from components.resolvers.tuned_values import KeptStrategy
from components.tuner.component import Tuner, search_fingerprint
from pipeline.config.configuration import Config
from trainer.errors import SectionError
from trainer.families import family_of
from trainer.tuning import Tuning

# Values stay good where only the length of the training changes, or its seed.
_NOT_OF_THE_PURPOSE = ("training.epochs", "training.seed")


def nodes(
    config: Config, transform: BaseNode, root: Path, code: str, find_earlier: bool, cached: bool
) -> tuple[list[BaseNode], dict[str, BaseChannel]]:
    """The nodes between Transform and Trainer, and what Trainer gets of them; nothing without `[tuning]`.

    Args:
      config: The configuration.
      transform: Transform.
      root: Where checkpoints go.
      code: The fingerprint of what the search runs.
      find_earlier: Whether a resolver of ours can run.
      cached: Whether a step may reuse what it made before. Where not, values are kept all the same.
    """
    if config.tuning is None:
        return [], {}
    if not (find_earlier or config.tuning.every_run):
        raise SectionError(
            "[tuning] every_run = false: the managed service cannot find the values of an earlier run: set "
            "every_run = true, or remove [tuning]"
        )
    custom_config = {
        "spec": config.spec.model_dump_json(),
        "tuning": config.tuning.model_dump_json(exclude={"every_run"}),
        "purpose": purpose(config, config.tuning),
        "code": code,
        "checkpoints": str(root / "checkpoints"),
    }
    examples = transform.outputs["transformed_examples"]
    resolvers: list[BaseNode] = []
    kept = None
    if not config.tuning.every_run:
        resolver = Resolver(
            strategy_class=KeptStrategy,
            config={
                "purpose": custom_config["purpose"],
                "fingerprint": search_fingerprint(custom_config) if cached else "",
            },
            kept=Channel(type=standard_artifacts.HyperParameters),
            examples=examples,
        ).with_id(TUNED_RESOLVER)
        resolvers.append(resolver)
        kept = resolver.outputs["kept"]
    tuner = Tuner(
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        custom_config=custom_config,
        kept=kept,
    )
    return [*resolvers, tuner], {"hyperparameters": tuner.outputs["best_hyperparameters"]}


def purpose(config: Config, tuning: Tuning) -> str:
    """SHA-256 of the purpose of the values: the space, the rest of the model, and what is learned.

    Not where the data is, nor how much of it there is.
    """
    spec = config.spec.model_dump(mode="json")
    for key in (*tuning.space, *_NOT_OF_THE_PURPOSE):
        section, _, name = key.partition(".")
        spec[section].pop(name, None)
    known: dict[str, Any] = {
        "pipeline": config.pipeline.name,
        "texts": [config.data.text_a, config.data.text_b],
        "spec": spec,
        "tuning": tuning.model_dump(mode="json", exclude={"every_run"}),
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def check_objective(config: Config) -> None:
    """Raises SectionError where training does not measure the objective of `[tuning]`."""
    known = family_of(config.spec).objectives(config.spec)
    if config.tuning is not None and config.tuning.objective not in (None, *known):
        raise SectionError(
            f"[tuning] objective = {config.tuning.objective!r}: no metric that training measures on eval: "
            f"there are {', '.join(known)}"
        )


def tried(config: Config, key: str) -> list[Any]:
    """The values that a search may give `section.key`; none where it is not searched."""
    values = config.tuning.space.get(key, ()) if config.tuning is not None else ()
    return list(values)
