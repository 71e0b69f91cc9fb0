"""TFX wiring of the baselines."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifact_files import write_json
from components.example_gen.counts import MIN_TRAIN_ROWS
from components.nodes import BASELINES_FILE
from components.tables import read_table, thin_out
from trainer.errors import DataRejected
from trainer.families import family_of
from trainer.spec import Spec
from trainer.undefined import dump

# Simple methods learn little from more, and some would take longer than the model.
MOST_ROWS = 100_000


@component
def Baselines(
    examples: InputArtifact[list[standard_artifacts.Examples]],
    baselines: OutputArtifact[standard_artifacts.ModelEvaluation],
    spec: Parameter[str],
    code: Parameter[str],
) -> None:
    """Fits every baseline of the family on rows of `train`, writes its metrics on `eval` and `test`.

    Raises:
      DataRejected: a split has no row in any of the examples, so that no model could be trained or judged.
    """
    del code  # part of the cache key
    parsed = Spec.model_validate_json(spec)
    tables = {split: read_table(examples, split) for split in ("train", "eval", "test")}
    for split, table in tables.items():
        # Of data without spans RowGate has seen to it; one span of many may lack a split.
        if table.num_rows < (MIN_TRAIN_ROWS if split == "train" else 1):
            raise DataRejected(
                f"{table.num_rows or 'no'} row of all {len(examples)} spans of the window is in the split "
                f"{split}: give it a larger share in [data] split, or more spans in [data.spans] window"
            )
    measured = family_of(parsed).baselines(thin_out(tables.pop("train"), MOST_ROWS), tables, parsed)
    stored = {
        name: {split: dump(metrics) for split, metrics in by_split.items()}
        for name, by_split in measured.items()
    }
    write_json(stored, baselines.uri, BASELINES_FILE, sort_keys=True)
