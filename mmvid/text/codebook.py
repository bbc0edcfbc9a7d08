"""A codebook of word vectors: centroids by weighted k-means, and the nearest one of each word (paper A, section 3).

The paper clusters all occurrences of all keywords. An occurrence is a point, and equal points lie in one cluster, so
the sum over occurrences is the sum over the distinct words, each weighed by its count: 48,000 points instead of tens of
millions. How the seeds are chosen was measured: `python -m benchmarks.codebook`.
"""

from typing import Literal

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

Metric = Literal["l2", "l1"]

ITERATIONS = 25
_BLOCK = 256  # words whose distances to all centroids are computed at once


def fit_codebook(vectors: np.ndarray, counts: np.ndarray, clusters: int = 1024, seed: int = 0) -> np.ndarray:
    """The centroids of words.

    Args:
        vectors: their vectors, (V, D).
        counts: how often each occurs, (V,); words that do not occur count for nothing.
        clusters: K, the centroids. Where fewer words occur, each is a centroid of its own.
        seed: of the first centroids.

    Returns:
        Centroids, float32 (K, D), or fewer. The same on every number of cores.

    Raises:
        ValueError: if no word occurs.
    """
    occur = np.flatnonzero(counts)
    if not len(occur):
        raise ValueError("no word of the fields that are read occurs in train, so there is nothing to cluster")
    points = np.asarray(vectors[occur], np.float32)
    if len(points) <= clusters:
        return points
    with threadpool_limits(1):  # sums over words must not depend on the number of threads
        kmeans = KMeans(clusters, init="k-means++", n_init=1, max_iter=ITERATIONS, tol=0, random_state=seed)
        return kmeans.fit(points, sample_weight=np.asarray(counts, np.float64)[occur]).cluster_centers_


def assign(vectors: np.ndarray, centroids: np.ndarray, metric: Metric = "l2") -> np.ndarray:
    """The nearest centroid of each word, int32 (V,); the first of equally near ones.

    Args:
        vectors: (V, D).
        centroids: (K, D).
        metric: Euclidean distance, or the sum of absolute differences, as the authors assign.

    Raises:
        ValueError: if the vectors have another size than the centroids.
    """
    if vectors.shape[1] != centroids.shape[1]:
        sizes = f"{vectors.shape[1]} and {centroids.shape[1]}"
        raise ValueError(f"vectors and centroids must have one size, got {sizes}")
    nearest = np.empty(len(vectors), np.int32)
    squares = np.square(centroids).sum(axis=1)
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], np.float32)
        if metric == "l2":
            distances = squares - 2 * (block @ centroids.T)  # less each word's own square, which is the same for all
        else:
            distances = _absolute(block, centroids)
        nearest[start : start + len(block)] = distances.argmin(axis=1)
    return nearest


def _absolute(block: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Sums of absolute differences, (block, K)."""
    from scipy.spatial.distance import cdist

    return cdist(block, centroids, "cityblock")


def inertia(vectors: np.ndarray, counts: np.ndarray, centroids: np.ndarray) -> float:
    """The sum over all occurrences of the squared distance to the nearest centroid."""
    nearest = assign(vectors, centroids)
    total = 0.0
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart = np.asarray(vectors[block], np.float64) - centroids[nearest[block]]
        total += float(np.dot(np.square(apart).sum(axis=1), counts[block]))
    return total
