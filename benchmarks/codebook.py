"""Which k-means makes the codebook: CPU seconds and inertia of libraries and seedings, on weighted words.

    OMP_NUM_THREADS=1 python -m benchmarks.codebook [--vectors english-300d.bin.gz] [--words 48000]

Words are made (a mixture of 4000 normal clusters), or those of a file of word vectors; where the file has fewer words
than asked for, means of two of them with a little noise make up the rest. Counts follow Zipf's law. Every row makes
1024 centroids by 25 iterations of Lloyd; inertia is the weighted sum of squares, beside that of scikit-learn's
k-means++ (greedy: the best of 2 + log K candidates for each seed), which the codebook uses.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits

from mmvid.text.codebook import ITERATIONS, fit_codebook, inertia
from mmvid.text.vectors import open_vectors

CLUSTERS = 1024


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", default="", help="a file of word vectors (default: made ones)")
    parser.add_argument("--words", type=int, default=48_000, help="words (default 48,000)")
    parser.add_argument("--clusters", type=int, default=CLUSTERS, help="centroids (default 1024)")
    options = parser.parse_args(argv)
    x = real(options.vectors, options.words) if options.vectors else made(options.words)
    random = np.random.default_rng(0)
    counts = np.ceil(1e6 / (1 + random.permutation(len(x)))).astype(np.int64)
    print(f"{len(x):,} words of {x.shape[1]} numbers, {options.clusters} centroids, {ITERATIONS} iterations")
    print(f"{'row':<34}{'s':>8}{'CPU s':>8}{'inertia':>12}{'beside':>9}")
    first = None
    for name, fit in rows(x, counts, options.clusters).items():
        begin, used = time.perf_counter(), time.process_time()
        with threadpool_limits(1):
            centroids = fit()
        wall, cpu = time.perf_counter() - begin, time.process_time() - used
        found = inertia(x, counts, centroids)
        first = first or found
        print(f"{name:<34}{wall:>8.1f}{cpu:>8.1f}{found:>12.4g}{found / first - 1:>+9.1%}", flush=True)


def rows(x: np.ndarray, counts: np.ndarray, clusters: int) -> dict[str, Callable[[], np.ndarray]]:
    random = np.random.default_rng(0)
    shares = counts / counts.sum()

    def lloyd(seeds: np.ndarray) -> np.ndarray:
        kmeans = KMeans(clusters, init=seeds, n_init=1, max_iter=ITERATIONS, tol=0)
        return kmeans.fit(x, sample_weight=counts).cluster_centers_

    def drawn(trials: int) -> np.ndarray:
        return kmeans_plusplus(x, clusters, sample_weight=counts, n_local_trials=trials, random_state=0)[0]

    def sampled() -> np.ndarray:
        chosen = random.choice(len(x), len(x) // 4, replace=False, p=shares)
        return kmeans_plusplus(x[chosen], clusters, random_state=0)[0]

    def faiss_kmeans() -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(1)
        kmeans = faiss.Kmeans(x.shape[1], clusters, niter=ITERATIONS, seed=0, max_points_per_centroid=len(x))
        kmeans.train(x, weights=counts.astype(np.float32))
        return kmeans.centroids

    def mini_batches() -> np.ndarray:  # the paper's
        kmeans = MiniBatchKMeans(clusters, batch_size=10240, n_init=1, random_state=7)
        return kmeans.fit(x, sample_weight=counts).cluster_centers_

    return {
        "the codebook (k-means++)": lambda: fit_codebook(x, counts, clusters),
        "k-means++, 1 candidate a seed": lambda: lloyd(drawn(1)),
        "k-means++, 2 candidates a seed": lambda: lloyd(drawn(2)),
        "k-means++ of a quarter, by count": lambda: lloyd(sampled()),
        "the commonest words": lambda: lloyd(x[np.argsort(-counts)[:clusters]]),
        "words drawn by count": lambda: lloyd(x[random.choice(len(x), clusters, replace=False, p=shares)]),
        "words drawn evenly": lambda: lloyd(x[random.choice(len(x), clusters, replace=False)]),
        "mini-batches (the authors')": mini_batches,
        "faiss": faiss_kmeans,
    }


def made(words: int) -> np.ndarray:
    random = np.random.default_rng(1)
    centres = random.standard_normal((4000, 300), np.float32) * 2
    return centres[random.integers(0, len(centres), words)] + random.standard_normal((words, 300), np.float32)


def real(place: str, words: int) -> np.ndarray:
    with TemporaryDirectory() as folder:
        x = np.array(open_vectors(place, Path(folder)).keyed.vectors[:words])
    random = np.random.default_rng(1)
    one, other = random.integers(0, len(x), (2, words - len(x)))
    noise = 0.3 * random.standard_normal((words - len(x), x.shape[1]), np.float32)
    return np.concatenate([x, (x[one] + x[other]) / 2 + noise])


if __name__ == "__main__":
    main(sys.argv[1:])
