"""Slow, plain formulas that the real code is held against: loops, in the symbols of the papers.

Nothing here is fast, and nothing here calls mmvid.
"""

import itertools
import math

import numpy as np

# --- Ranking (Abu-El-Haija et al. 2016; the Kaggle challenge's Evaluation page) --------------------------------------


def best_classes(scores, k):
    """The k best classes of one video, (C,) scores: higher score first, then lower class id."""
    return sorted(range(len(scores)), key=lambda c: (-scores[c], c))[:k]


def average_precision(items, positives, top_n=None):
    """Sum over i of p(i) * delta r(i) for (score, hit) items, the mean over all orders that tied items can have.

    Tries every order of every group of tied items, so the groups must be tiny.
    """
    groups = itertools.groupby(sorted(items, key=lambda item: -item[0]), key=lambda item: item[0])
    orders = [list(itertools.permutations([hit for _, hit in group])) for _, group in groups]
    values = []
    for choice in itertools.product(*orders):
        hits = list(itertools.chain(*choice))[:top_n]
        values.append(sum(h * sum(hits[: i + 1]) / (i + 1) for i, h in enumerate(hits)))
    total = math.fsum(values) / len(values)
    return total / (positives if top_n is None else min(positives, top_n))


def gap(scores, labels, k):
    """Global average precision of (N, C) arrays."""
    items = [(s[c], bool(y[c])) for s, y in zip(scores, labels, strict=True) for c in best_classes(s, k)]
    return average_precision(items, int(np.sum(labels))) if np.any(labels) else 0.0


def class_average_precision(scores, labels, k, top_n=None):
    """Average precision of each class over the videos that have it among their k best; NaN without positives."""
    lists = [[] for _ in scores[0]]
    for s, y in zip(scores, labels, strict=True):
        for c in best_classes(s, k):
            lists[c].append((s[c], bool(y[c])))
    positives = np.sum(labels, axis=0).astype(int)
    return [average_precision(items, p, top_n) if p else math.nan for items, p in zip(lists, positives, strict=True)]


def hit_at_1(scores, labels):
    """The share of videos whose best class is a label."""
    return float(np.mean([y[best_classes(s, 1)[0]] for s, y in zip(scores, labels, strict=True)]))


def perr(scores, labels):
    """The mean over videos of 1/|G_v| * sum over the |G_v| best classes of I(the class is in G_v), scores above 0."""
    values = []
    for s, y in zip(scores, labels, strict=True):
        n = int(np.sum(y))
        values.append(sum(bool(y[c]) and s[c] > 0 for c in best_classes(s, n)) / n if n else 0.0)
    return float(np.mean(values))


# --- Rated segments (google/youtube-8m, segment_eval_inference.py) ----------------------------------------------------


def segment_map(scores, labels, rated, top_n, empty="drop"):
    """For each class: rank, submit the top_n best, keep the rated ones, AP over all rated positives. Then the mean."""
    values = []
    for c in range(len(scores[0])):
        column = [row[c] for row in scores]
        submitted = [n for n, score in enumerate(column) if sum(other > score for other in column) < top_n]
        items = [(column[n], bool(labels[n][c])) for n in submitted if rated[n][c]]
        positives = sum(bool(y[c]) and bool(r[c]) for y, r in zip(labels, rated, strict=True))
        if positives:
            values.append(average_precision(items, positives))
        elif empty == "zero" and any(r[c] for r in rated):
            values.append(0.0)
    return float(np.mean(values)) if values else math.nan


# --- Text (Wang et al. 2017) ------------------------------------------------------------------------------------------


def nearest(points, centroids, power):
    """The first centroid with the smallest sum over dimensions of |x - c| ** power, for each point."""
    distances = [[sum(abs(a - b) ** power for a, b in zip(x, c, strict=True)) for c in centroids] for x in points]
    return [row.index(min(row)) for row in distances]


def unigram(texts, labels, words, classes, alpha):
    """log Pr(l) + sum over words k of log((n(k, l) + alpha) / (n(l) + alpha |L|)) for each class l: equation (3).

    `texts` are the words of each training video, `labels` the classes of each, `words` the text to score.
    """
    n_labels = sum(len(each) for each in labels)
    scores = []
    for label in range(classes):
        having = [text for text, own in zip(texts, labels, strict=True) if label in own]
        n_l = sum(len(text) for text in having)
        score = math.log(len(having) / n_labels) if having else -math.inf
        for word in words:
            n_kl = sum(text.count(word) for text in having)
            score += math.log((n_kl + alpha) / (n_l + alpha * classes))
        scores.append(score)
    return scores
