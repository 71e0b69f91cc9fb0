from tensorflow._aliases import TensorLike

def set_loop_options(
    parallel_iterations: int = ...,
    swap_memory: bool = ...,
    maximum_iterations: TensorLike = ...,
    shape_invariants: object = ...,
) -> None: ...
