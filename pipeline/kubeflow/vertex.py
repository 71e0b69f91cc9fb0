"""The graph for Google's managed service, by TFX's own runner.

The service has no place for a resolver of ours, and finds a blessed model only where TFX's own Evaluator
blessed it. So nothing is compared with a champion there: floors, ceilings and baselines decide.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline

from pipeline.config import configuration
from pipeline.config.cluster import Vertex
from pipeline.graph import pipeline as graph
from pipeline.graph.plan import Plan
from pipeline.kubeflow.compile import check_step_names, move_inside
from pipeline.outputs import write_output
from trainer.errors import ConfigError
from trainer.spec import narrow

_Resources = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def compile_pipeline(path: Path, settings: Sequence[str], output: Path) -> str:
    """Writes IR 2.1 as TFX's runner has it, all at once; the text.

    Args:
      path: The configuration file.
      settings: `section.key=value` on top of it.
      output: The YAML file.

    Raises:
      ConfigError: the configuration has no `[vertex]`, or names what the service cannot have.
    """
    values = copy.deepcopy(configuration.read(path, settings))
    if not isinstance(values.get("vertex"), dict):
        raise ConfigError(f"{path}: [vertex] is missing: add it with image and pipeline_root")
    overrides = values["vertex"].pop("overrides", {})
    vertex = narrow(configuration.validate(values, str(path)).vertex, Vertex)
    # The service mounts every bucket there, in every container.
    root = Path("/gcs", vertex.pipeline_root.removeprefix("gs://"))
    move_inside(path, values, overrides, Path(*root.parts[:3]), "vertex")
    config = configuration.validate(values, str(path))
    name = config.pipeline.name
    serving = config.serving.directory or root / "serving" / name
    if config.data.pattern is not None or config.retraining is not None:
        raise ConfigError(
            f"{path}: [data] pattern and [retraining] need resolvers, which the managed service has not: "
            "compile for Kubeflow, or leave them out"
        )
    nodes = graph.components(config, root, serving, Plan(), find_earlier=False)
    check_step_names("vertex", vertex.steps, [node.id for node in nodes])
    for node in nodes:
        if node.id in vertex.steps:
            wanted = vertex.steps[node.id]
            resources = _Resources(cpu_limit=wanted.cpu or 0, memory_limit=wanted.memory_gb or 0)
            if wanted.accelerators:
                resources.accelerator.type = wanted.accelerator
                resources.accelerator.count = wanted.accelerators
            node.with_platform_config(resources)
    pipeline = Pipeline(
        pipeline_name=name.replace("_", "-"),
        pipeline_root=vertex.pipeline_root,
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=list(config.beam.options),
    )
    settings_of_runner = KubeflowV2DagRunnerConfig(default_image=vertex.image, use_pipeline_spec_2_1=True)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "pipeline.yaml")
        KubeflowV2DagRunner(settings_of_runner, folder, fresh.name).run(pipeline)
        document = yaml.safe_load(fresh.read_text(encoding="utf-8"))
        # TFX keeps it for its JSON only.
        document["defaultPipelineRoot"] = vertex.pipeline_root
    text = yaml.safe_dump(document)
    write_output(output, text)
    return text
