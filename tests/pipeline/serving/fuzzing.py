"""Bodies of requests that nobody would send, the same every time."""

import json
import random

PAIR = {"text_a": "abcd", "text_b": "ab"}
SEEDS = [
    {"instances": [PAIR, {"text_a": "é", "text_b": "\n"}]},
    {"inputs": {"text_a": ["a", "b"], "text_b": ["", "c"]}},
    {"signature_name": "embed", "instances": ["a", {"b64": "YQ=="}]},
    {"signature_name": "serve_examples", "inputs": {"examples": [{"b64": ""}]}},
    {"signature_name": "score_vector", "instances": [[0.5, 1, -2e3]]},
    {"signature_name": "sample", "inputs": {"seed": 3, "count": 2}},
    {"signature_name": "echo", "instances": ["x"]},
]
ATOMS = [
    None,
    True,
    0,
    -1,
    2**31,
    2**64,
    1.5,
    1e308,
    float("nan"),
    "",
    "a",
    "\ud800",
    {"b64": "*"},
    {},
    [],
    [[]],
]


def random_tree(rng, depth=0):
    """Any JSON, with a taste for the words of the protocol."""
    kind = rng.random()
    if depth > 3 or kind < 0.4:
        return rng.choice(ATOMS)
    if kind < 0.7:
        return [random_tree(rng, depth + 1) for _ in range(rng.randrange(4))]
    words = ["instances", "inputs", "signature_name", "text", "text_a", "text_b", "vector", "b64", "seed"]
    return {rng.choice(words): random_tree(rng, depth + 1) for _ in range(rng.randrange(4))}


def graft(rng, tree):
    """The tree with one of its values, somewhere, replaced."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        return {**tree, key: graft(rng, tree[key])}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        position = rng.randrange(len(tree))
        return [*tree[:position], graft(rng, tree[position]), *tree[position + 1 :]]
    # Half of the values keep their type, or next to nothing would get as far as the model.
    if rng.random() < 0.5 and isinstance(tree, str):
        return "".join(rng.choice('aé\n\0"\u2028😀') for _ in range(rng.randrange(6)))
    if rng.random() < 0.5 and isinstance(tree, int | float):
        return rng.choice([0, 1, -5, 7, 0.1, 1e-45, 1e38, 65, 2**24])
    return random_tree(rng)


def mutate(rng, body):
    """A few bytes flipped, cut out or doubled."""
    data = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        match rng.randrange(4):
            case 0:
                data[at:at] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + 1] = rng.choice([b"", b"[", b"}", b'"', b"\\u", b"9", b"-", b"\0"])
            case 2:
                del data[at : min(to, at + 8)]
            case _:
                data[at:at] = data[at:to]
    return bytes(data)


def fuzz_bodies(count):
    rng = random.Random(20240607)  # noqa: S311 (repeatable, not secret)
    for number in range(count):
        seed = rng.choice(SEEDS)
        match number % 4:
            case 0:
                tree = random_tree(rng)
            case 1:
                tree = {"instances": random_tree(rng)}
            case _:
                tree = graft(rng, seed)
        body = json.dumps(tree).encode()
        yield mutate(rng, json.dumps(seed).encode()) if number % 4 == 3 else body
