"""The codebook: weights stand for occurrences, and every word goes to its nearest centroid."""

import numpy as np
import pytest
import reference

from mmvid.text.codebook import assign, fit_codebook, inertia


def test_counts_stand_for_occurrences():
    random = np.random.default_rng(0)
    vectors, counts = random.normal(size=(60, 3)).astype(np.float32), random.integers(0, 9, 60)
    occurrences = np.repeat(vectors, counts, axis=0)
    centroids = fit_codebook(vectors, counts, 7)
    # A centroid is the mean of the occurrences that are nearest to it: where k-means has come to rest.
    nearest = assign(occurrences, centroids)
    means = np.stack([occurrences[nearest == k].mean(axis=0) for k in range(7)])
    np.testing.assert_allclose(centroids, means, atol=1e-5)
    ones = np.ones(len(occurrences))
    assert inertia(vectors, counts, centroids) == pytest.approx(inertia(occurrences, ones, centroids))


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_the_nearest_centroid_is_that_of_plain_loops(metric):
    random = np.random.default_rng(1)
    vectors, centroids = (random.normal(size=(n, 5)).astype(np.float32) for n in (300, 11))
    expected = reference.nearest(vectors.tolist(), centroids.tolist(), 2 if metric == "l2" else 1)
    assert assign(vectors, centroids, metric).tolist() == expected


def test_groups_of_words_are_found():
    random = np.random.default_rng(2)
    centres = random.normal(size=(8, 10)) * 20
    group = random.integers(0, 8, 400)
    vectors = (centres[group] + random.normal(size=(400, 10))).astype(np.float32)
    nearest = assign(vectors, fit_codebook(vectors, random.integers(1, 50, 400), 8))
    assert len({(a, b) for a, b in zip(group, nearest, strict=True)}) == 8


def test_fewer_words_than_clusters_are_their_own_centroids():
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(fit_codebook(vectors, np.array([1, 0, 2, 5]), 1024), vectors[[0, 2, 3]])


def test_the_same_seed_gives_the_same_centroids():
    random = np.random.default_rng(3)
    vectors, counts = random.normal(size=(500, 4)).astype(np.float32), random.integers(1, 9, 500)
    assert np.array_equal(fit_codebook(vectors, counts, 20, seed=5), fit_codebook(vectors, counts, 20, seed=5))
    assert not np.array_equal(fit_codebook(vectors, counts, 20, seed=5), fit_codebook(vectors, counts, 20, seed=6))


def test_faults_are_told():
    with pytest.raises(ValueError, match="^no word of the fields that are read occurs in train"):
        fit_codebook(np.ones((3, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="^vectors and centroids must have one size, got 2 and 3"):
        assign(np.ones((3, 2)), np.ones((3, 3)))
