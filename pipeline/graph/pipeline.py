"""The pipeline on one page, in the order in which data flows.

Nothing in here asks which model family is served: `trainer/families.py` is the seam.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from tfx.components import ExampleValidator, Trainer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import BaseChannel, Channel, standard_artifacts

from components.atomic_pusher.component import AtomicPusher
from components.baselines.component import Baselines
from components.data_gate.component import DataGate, RowGate
from components.data_gate.verdict import DataVerdict
from components.drift.requests import log_state
from components.evaluator.component import Evaluator
from components.example_gen.component import ExampleGen
from components.nodes import ACCEPTED_RESOLVER, CHAMPION_RESOLVER
from components.quality_gate.component import QualityGate
from components.resolvers.champion import ChampionStrategy
from components.resolvers.window import AcceptedStrategy
from components.schema_gen.component import ImportSchemaGen
from components.schema_gen.default import default_schema
from components.serving_gate.component import ServingGate
from components.statistics_gen.component import StatisticsGen
from components.transform.component import Transform
from pipeline.config.configuration import Config
from pipeline.graph import retraining as branches
from pipeline.graph import tuning
from pipeline.graph.bulk import bulk_steps
from pipeline.graph.fingerprint import files_fingerprint, step_fingerprint
from pipeline.graph.plan import Plan
from trainer.errors import SectionError
from trainer.families import MODULES, family_of
from trainer.text.form import TextForm

TRAIN, EVAL, TEST = "train", "eval", "test"


def build(
    config: Config,
    root: Path,
    metadata: ConnectionConfig,
    serving: Path,
    cached: bool = True,
    plan: Plan | None = None,
) -> Pipeline:
    """The graph of one configuration.

    Args:
      config: The configuration.
      root: Where artifacts go, and checkpoints of trainings that have not ended.
      metadata: The database of ML Metadata.
      serving: The folder that TF Serving watches.
      cached: Whether a step may reuse what it made before from the same inputs.
      plan: Which span is read and which are trained on; of data without spans, why it is trained.
    """
    return Pipeline(
        pipeline_name=config.pipeline.name,
        pipeline_root=str(root),
        components=components(config, root, serving, plan or Plan(), cached=cached),
        enable_cache=cached,
        metadata_connection_config=metadata,
        beam_pipeline_args=list(config.beam.options),
    )


def components(
    config: Config, root: Path, serving: Path, plan: Plan, find_earlier: bool = True, cached: bool = True
) -> list[BaseNode]:
    """All nodes. `code` makes a change of our own source a change of the cache key.

    Where no resolver of ours can run, `find_earlier` is false, and nothing is compared with a
    champion or with earlier data.
    """
    spec = config.spec
    family = family_of(spec)
    check_metrics(config)
    # Of a step that is told the spec, and may ask the family.
    code_of = functools.partial(step_fingerprint, family=MODULES[spec.model.family])
    judged = spec.narrowed(family.EVALUATION)

    # Rows into tf.Examples, one split each; rows that cannot be used into quarantine.
    data = config.data if config.data.pattern is None else config.data.of_span(plan.files)
    example_gen = ExampleGen(
        data=data,
        code=step_fingerprint("components.example_gen.component"),
        form=TextForm.of(spec, tuning.tried(config, "model.head")),
        carry=plan.carry,
    )

    # Too many of those, and the run ends here.
    row_gate = RowGate(
        examples=example_gen.outputs["examples"],
        data=data.model_dump_json(exclude={"schema_file", "schema_text"}),
        alone=int(config.data.pattern is None),
        code=step_fingerprint("components.data_gate.component"),
    )

    # What the data looks like.
    statistics_gen = StatisticsGen(
        examples=example_gen.outputs["examples"], code=step_fingerprint("components.statistics_gen.component")
    )
    statistics_gen.add_upstream_node(row_gate)

    # What it should look like.
    schema_gen = ImportSchemaGen(
        text=schema_text(config), code=step_fingerprint("components.schema_gen.component")
    )

    # Whether the two agree ...
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    # What was accepted before, if anything was.
    accepted: list[BaseNode] = []
    previous: dict[str, BaseChannel] = {}
    if find_earlier:
        earlier = Resolver(
            strategy_class=AcceptedStrategy,
            accepted=Channel(type=DataVerdict),
            examples=example_gen.outputs["examples"],
        ).with_id(ACCEPTED_RESOLVER)
        previous = {"previous": earlier.outputs["accepted"]}
        accepted.append(earlier)

    # ... and whether it is like that, and like what is asked of the model. If not, the run ends here.
    data_gate = DataGate(
        examples=example_gen.outputs["examples"],
        anomalies=example_validator.outputs["anomalies"],
        schema=schema_gen.outputs["schema"],
        spec=spec.narrowed(()),
        validation=config.validation.model_dump_json(),
        log=log_state(config.validation.serving_log),
        code=code_of("components.data_gate.component"),
        **previous,
    )

    # How the model in service does on it, and whether that is a reason to train.
    decision = branches.decision(config, plan, judged, example_gen, data_gate)

    # From here on, all spans that are trained on together.
    window = branches.window(config, plan, example_gen, data_gate)
    examples = window[0].outputs["examples"] if window else example_gen.outputs["examples"]

    # The model in service, where training starts from it.
    bases, base = branches.warm_start(config, examples, decision) if find_earlier else ([], {})

    # Tokenization and vocabulary, as a graph that is served with the model.
    transform = Transform(
        examples=examples,
        schema=schema_gen.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config={
            # A model that training cannot start from is refused here, not after hours.
            "spec": spec.narrowed({*family.PREPROCESSING, *(family.SHAPE if base else ())}),
            "code": code_of("trainer.preprocessing", "components.transform.component"),
            "half_life": config.data.spans.half_life if config.data.spans is not None else None,
        },
        splits_config=transform_pb2.SplitsConfig(analyze=[TRAIN], transform=[TRAIN, EVAL]),
        # Statistics of raw examples are what the gates look at.
        disable_statistics=True,
        # What was counted in a span is not counted again; of data that is read as a whole nothing is kept.
        analyzer_cache=window[1].outputs["cache"] if window else None,
        disable_analyzer_cache=not window,
        **base,
    )
    transform.add_upstream_node(decision[-1] if decision else data_gate)

    # What simple methods reach on the same splits.
    baselines = Baselines(examples=examples, spec=judged, code=code_of("components.baselines.component"))
    baselines.add_upstream_node(decision[-1] if decision else data_gate)

    # Where [tuning] asks for it, the best values of some keys: found by trying, or kept from before.
    search = code_of("trainer.tuner", "components.tuner.component")
    tuners, best = tuning.nodes(config, transform, root, search, find_earlier, cached)

    # The model, exported with its signatures.
    trainer = Trainer(
        run_fn="trainer.run_fn.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=trainer_pb2.TrainArgs(splits=[TRAIN]),
        eval_args=trainer_pb2.EvalArgs(splits=[EVAL]),
        custom_config={
            "spec": spec.model_dump_json(),
            "code": code_of("trainer.run_fn"),
            # Weights and vectors that others trained.
            "reads": files_fingerprint(path for _, path in spec.model if isinstance(path, Path)),
            "checkpoints": str(root / "checkpoints"),
        },
        **best,
        **base,
    )

    # The model in service, if there is one and it is asked the same.
    champions: list[BaseNode] = []
    champion: dict[str, BaseChannel] = {}
    if find_earlier:
        resolver = Resolver(
            strategy_class=ChampionStrategy,
            config={"task": spec.task(), "name": config.pipeline.name},
            champion=Channel(type=standard_artifacts.Model),
            pushed=Channel(type=standard_artifacts.PushedModel),
            candidate=trainer.outputs["model"],
        ).with_id(CHAMPION_RESOLVER)
        champion = {"champion": resolver.outputs["champion"]}
        champions.append(resolver)

    # Candidate and champion on raw examples, through the signature that is served.
    evaluator = Evaluator(
        examples=examples,
        schema=schema_gen.outputs["schema"],
        model=trainer.outputs["model"],
        spec=judged,
        code=code_of("components.evaluator.component"),
        **champion,
    )

    # Better than floors, baselines and champion?
    quality_gate = QualityGate(
        model=trainer.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        baselines=baselines.outputs["baselines"],
        spec=judged,
        gates=config.gates.model_dump_json(),
        code=code_of("components.quality_gate.component"),
        **champion,
    )

    # Does it answer in a fresh process, with the numbers that were evaluated?
    serving_gate = ServingGate(
        model=trainer.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        spec=judged,
        serving=config.serving.for_gate(),
        code=code_of("components.serving_gate.component", "components.serving_gate.probe"),
    )

    # Then it becomes the newest version, by one rename.
    pusher = AtomicPusher(
        model=trainer.outputs["model"],
        examples=examples,
        model_blessing=quality_gate.outputs["blessing"],
        infra_blessing=serving_gate.outputs["blessing"],
        name=config.pipeline.name,
        directory=str(serving),
        keep_versions=config.serving.keep_versions or 0,
        mirror=config.serving.mirror or "",
        code=step_fingerprint("components.atomic_pusher.component"),
    )

    # Rows that nobody has labelled yet, answered by what was pushed.
    answers = bulk_steps(config, trainer, pusher)
    return [
        example_gen, row_gate, statistics_gen, schema_gen, example_validator, *accepted, data_gate,
        *decision, *window, *bases, transform, baselines,
        *tuners, trainer, *champions, evaluator, quality_gate, serving_gate, pusher, *answers,
    ]  # fmt: skip


def check_metrics(config: Config) -> None:
    """Raises SectionError where a section names a metric that is not measured."""
    nothing = np.zeros((0, 1))
    known = family_of(config.spec).metrics(nothing, nothing, config.spec)
    gates, retraining = config.gates, config.retraining
    named = {
        "[gates] floors": gates.floors,
        "[gates] ceilings": gates.ceilings,
        "[gates] metric": {gates.metric} - {None},
        "[retraining] floors": retraining.floors if retraining else {},
        "[retraining] ceilings": retraining.ceilings if retraining else {},
    }
    for section, names in named.items():
        for name in names:
            if name not in known:
                raise SectionError(f"{section}: no metric {name!r}: there are {', '.join(sorted(known))}")
    tuning.check_objective(config)


def schema_text(config: Config) -> str:
    """The schema of the use case, or else what `[data]` says of the features."""
    data = config.data
    if data.schema_file is not None:
        return data.schema_file.read_text(encoding="utf-8")
    return default_schema(data) if data.schema_text is None else data.schema_text
