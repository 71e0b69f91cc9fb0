from typing import Any

from pyarrow import Table

def write_table(table: Table, where: Any) -> None: ...
