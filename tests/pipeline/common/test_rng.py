"""Streams of numbers by their keys, and permutations of them."""

import itertools

import numpy as np

from dilo.pipeline.common.rng import generator, permutation


def test_every_part_of_a_key_opens_a_stream_of_its_own():
    keys = itertools.product((0, 1, 2**64 - 1), (0, 1), (0, 5), (0, 5), (0, 5))
    drawn = [generator(*key).random(20) for key in keys]
    assert len(np.unique(np.concatenate(drawn))) == 20 * len(drawn)
    assert np.array_equal(generator(1, 0, 5, 0, 5).random(20), generator(1, 0, 5, 0, 5).random(20))


def test_parts_left_out_are_0():
    assert np.array_equal(generator(3, 1, 7).random(9), generator(3, 1, 7, 0, 0).random(9))


def test_a_permutation_sorts_the_next_numbers():
    numbers = generator(3, 1).random(30)
    assert np.array_equal(permutation(generator(3, 1), 30), np.argsort(numbers))
