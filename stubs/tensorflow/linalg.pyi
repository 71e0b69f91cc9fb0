from collections.abc import Sequence

from tensorflow import IndexedSlices, Tensor

def global_norm(t_list: Sequence[Tensor | IndexedSlices | None], name: str | None = None) -> Tensor: ...
