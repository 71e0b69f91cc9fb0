from collections.abc import Sequence
from typing import Any

from tensorflow import Module

SERVING: str

class Asset:
    def __init__(self, path: str) -> None: ...
    @property
    def asset_path(self) -> Any: ...

# With the functions and variables that were saved as attributes.
def load(export_dir: str, tags: str | Sequence[str] | None = None, options: object = None) -> Any: ...
def save(obj: Module, export_dir: str, signatures: object = None, options: object = None) -> None: ...
