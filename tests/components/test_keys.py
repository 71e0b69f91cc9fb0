"""The hashes that texts and pairs are known by, from one span to the next: their values must not change."""

from __future__ import annotations

import numpy as np
import pytest

from components.example_gen.keys import NOTHING, distinct, hashes, mix, pair_keys

# What SplitMix64 adds in each step, and its published first outputs from seed 0.
STEP = 0x9E3779B97F4A7C15
OUTPUTS = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_the_mixer_is_that_of_splitmix64():
    states = np.array([n * STEP % 2**64 for n in (1, 2, 3)], np.uint64)
    assert mix(states).tolist() == OUTPUTS


def test_hashes_are_blake2b():
    assert hashes([b"", b""]).tolist() == [NOTHING, NOTHING]
    assert hashes([b""])[0].tobytes() == bytes.fromhex("e4a6a0577479b2b4")
    assert hashes([]).shape == (0,)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_pair_has_one_hash_and_turned_round_the_same_only_where_order_means_nothing(symmetric):
    pairs = np.array([[1, STEP], [STEP, 1], [2, STEP]], np.uint64)
    found = pair_keys(pairs, symmetric).tolist()
    assert found[2] not in found[:2]
    assert found[1] == (found[0] if symmetric else OUTPUTS[0] + 1)
    assert (found[0] == found[1]) is symmetric


def test_integers_are_there_once_and_in_order():
    assert distinct(np.array([7, 3, 7, 7, 5], np.uint64)).tolist() == [3, 5, 7]
