"""Comparison of an exported model's signatures with those that its family promises."""

from __future__ import annotations

from typing import Any

from trainer.families import BATCH, ContractSignature, Tensor


def compare(actual: dict[str, Any], promised: dict[str, ContractSignature]) -> list[str]:
    """The differences, one sentence a tensor; empty where there are none.

    Args:
      actual: The signatures as the probe describes them.
      promised: Signature name to what clients may rely on. A size that is a name stands for any size, and
        `batch` for one that must not be fixed.
    """
    wrong = [f"signature {name!r} is missing" for name in sorted(set(promised) - set(actual))]
    wrong += [f"signature {name!r} is not in the contract" for name in sorted(set(actual) - set(promised))]
    for name in sorted(set(promised) & set(actual)):
        for kind in ("inputs", "outputs"):
            has, wants = actual[name][kind], getattr(promised[name], kind)
            subject = f"signature {name!r}: {kind[:-1]}"
            wrong += [f"{subject} {key!r} is missing" for key in sorted(set(wants) - set(has))]
            wrong += [f"{subject} {key!r} is not in the contract" for key in sorted(set(has) - set(wants))]
            wrong += [
                f"{subject} {key!r} is {_shown(*has[key])}, not {_shown(*wants[key])}"
                for key in sorted(set(has) & set(wants))
                if not _fits(Tensor(*has[key]), wants[key])
            ]
    return wrong


def _fits(has: Tensor, wanted: Tensor) -> bool:
    if has.dtype != wanted.dtype or has.shape is None or wanted.shape is None:
        return has == wanted
    return len(has.shape) == len(wanted.shape) and all(
        size == -1 if want == BATCH else isinstance(want, str) or size == want
        for size, want in zip(has.shape, wanted.shape, strict=True)
    )


def _shown(dtype: str, shape: Any) -> str:
    sizes = ", ".join("?" if size == -1 else str(size) for size in shape or ())
    return f"{dtype} of any rank" if shape is None else f"{dtype} [{sizes}]"
