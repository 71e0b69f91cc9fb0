from typing import Any

from pyarrow import Table

def write_feather(df: Table, dest: Any, compression: str | None = None, **kwargs: Any) -> None: ...
