from typing import Any

from keras_tuner.engine.oracle import Oracle
from keras_tuner.engine.trial import Trial

class BaseTuner:
    oracle: Oracle
    @property
    def project_dir(self) -> str: ...
    def __init__(
        self,
        oracle: Oracle,
        hypermodel: object = None,
        directory: str | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None: ...
    def on_search_end(self) -> None: ...
    def run_trial(self, trial: Trial) -> Any: ...
    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None: ...
