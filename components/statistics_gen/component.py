"""Statistics of raw examples, by TFDV.

TFX's StatisticsGen reads single records through Beam and counts the occurrences of every text exactly, a
Beam element for each: free texts are nearly all different. Here TFDV's sketches count them, whose numbers of
distinct values and most frequent values are approximate, and whose memory does not grow with the data.
"""

import os

import apache_beam as beam
import tensorflow_data_validation as tfdv
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.nodes import STATISTICS_FILE
from components.tables import split_files
from components.tfrecords import BatchedExamples


@component(use_beam=True)
def StatisticsGen(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: OutputArtifact[standard_artifacts.ExampleStatistics],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Writes `Split-NAME/FeatureStats.pb`, a DatasetFeatureStatisticsList, for each split."""
    del code  # part of the cache key
    options = tfdv.StatsOptions()
    options.experimental_use_sketch_based_topk_uniques = True
    statistics.split_names = examples.split_names
    statistics.span = examples.span
    with beam_pipeline as pipeline:
        for split in artifact_utils.decode_split_names(examples.split_names):
            _ = (
                pipeline
                | f"Read[{split}]" >> BatchedExamples(split_files(examples, split)).BeamSource()
                | f"Describe[{split}]" >> tfdv.GenerateStatistics(options)
                | f"Write[{split}]"
                >> tfdv.WriteStatisticsToBinaryFile(
                    os.path.join(artifact_utils.get_split_uri([statistics], split), STATISTICS_FILE)
                )
            )
