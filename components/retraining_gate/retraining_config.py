"""The `[retraining]` section: what makes `kembar retrain` train, and from what it starts."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from components.example_gen.spans import Duration
from trainer.section import Section


class Retraining(Section):
    """Reasons to train again, besides `--force`."""

    every_span: bool = Field(
        True, description="new data is reason enough; else it is read, judged, and one of the others decides"
    )
    drift: bool = Field(True, description="new data that the data gate warns of is reason enough")
    max_age: Duration | None = Field(
        None, description="age of the model in service, such as '30d', from which any data it lacks is enough"
    )
    floors: dict[str, float] = Field(
        {}, description="metric to the lowest value that the model in service may have on the newest data"
    )
    ceilings: dict[str, float] = Field({}, description="the same, the highest value")
    warm_start: bool = Field(
        False, description="start from the model in service: its vocabulary, extended, and its weights"
    )
    keep_runs: NonNegativeInt = Field(
        20, description="after each success all is removed that only older runs need; 0: nothing is"
    )
