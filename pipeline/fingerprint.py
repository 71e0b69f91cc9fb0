"""What the cache has to know about our code: TFX sees that a path is the same, not that the file changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What every component that reads examples stands on.
READING = ("components/tables.py", "components/tfrecords.py", "trainer/parts.py")
# What ingestion is: besides its own folder, what a label and a number are, and which texts are the same.
INGESTION = (
    "components/example_gen",
    "trainer/features.py",
    "trainer/values.py",
    "trainer/text_form.py",
    "trainer/characters.py",
)
# What makes tokens of a text in a graph.
TOKENS = ("trainer/characters.py", "trainer/text.py", "trainer/unicode.py")


def code_fingerprint(*packages: str) -> str:
    """SHA-256 over the Python source of folders under the project's root, such as `components/evaluator`."""
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py") if (ROOT / package).is_dir() else [ROOT / package]):
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def files_fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 over the content of files, and of all files in folders; what is not there counts nothing.

    For what a step reads besides its inputs, such as pretrained weights.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


if __name__ == "__main__":
    # For the label of an image; nothing but the standard library is imported, so no set-up is needed.
    print(code_fingerprint("pipeline", "components", "trainer", "schemas"))  # noqa: T201
