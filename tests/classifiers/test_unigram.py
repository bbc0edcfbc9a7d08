"""Unigram against equation (3) written as loops."""

import numpy as np
import pytest
import reference
import torch

from mmvid.classifiers import unigram
from mmvid.layers.counting import PairCounts
from mmvid.records.batches import Batch, Shapes
from mmvid.records.words import pad

CLASSES, WORDS = 9, 30


def batch_of(fields: dict[str, list[list[int]]], labels: list[list[int]] | None = None) -> Batch:
    """Texts as lists of word ids from 0 on."""
    count = len(next(iter(fields.values())))
    batch = Batch(ids=[str(i) for i in range(count)])
    for field, texts in fields.items():
        lengths = np.array([len(text) for text in texts])
        words = np.array([word + 1 for text in texts for word in text], np.int64)
        batch.tokens[field], batch.token_lengths[field] = pad(words, np.repeat(np.arange(count), lengths), lengths)
    if labels is not None:
        batch.labels = torch.zeros(count, CLASSES, dtype=torch.bool)
        for row, own in enumerate(labels):
            batch.labels[row, own] = True
    return batch


def made(seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """40 videos: their words, with repetitions, and their labels; the last class has none."""
    random = np.random.default_rng(seed)
    texts = [list(map(int, random.integers(0, WORDS, random.integers(0, 12)))) for _ in range(40)]
    labels = [sorted(set(map(int, random.integers(0, CLASSES - 1, random.integers(0, 4))))) for _ in range(40)]
    return texts, labels


def fitted(config: unigram.Config, batches: list[Batch]) -> unigram.Model:
    model = unigram.Model(config, Shapes(classes=CLASSES, words=WORDS, word_size=3)).eval()
    model.fit_counts(batches)
    return model


@pytest.mark.parametrize("alpha", [0.001, 0.7])
def test_scores_are_those_of_the_equation(alpha):
    texts, labels = made()
    model = fitted(
        unigram.Config(alpha=alpha),
        [batch_of({"title": texts[i : i + 7]}, labels[i : i + 7]) for i in range(0, len(texts), 7)],
    )
    asked = [[], [3], [3, 3, 5], list(range(WORDS))]
    expected = torch.tensor([reference.unigram(texts, labels, words, CLASSES, alpha) for words in asked])
    batch = batch_of({"title": asked})
    torch.testing.assert_close(model.log_scores(batch), expected.double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model(batch), expected.softmax(dim=1).float(), rtol=1e-4, atol=1e-7)


def test_the_authors_scale_gives_the_best_label_one():
    texts, labels = made()
    model = fitted(unigram.Config(scale="max_over_score"), [batch_of({"title": texts}, labels)])
    logarithms = torch.tensor([reference.unigram(texts, labels, texts[5], CLASSES, 0.001)])
    expected = logarithms.max() / logarithms
    torch.testing.assert_close(model(batch_of({"title": [texts[5]]})), expected, rtol=1e-4, atol=1e-6)


def test_title_and_keywords_are_counted_as_one_text():
    texts, labels = made()
    parts = {"title": [text[:3] for text in texts], "keywords": [text[3:] for text in texts]}
    both = fitted(unigram.Config(text_fields=("title", "keywords")), [batch_of(parts, labels)])
    one = fitted(unigram.Config(), [batch_of({"title": texts}, labels)])
    torch.testing.assert_close(both(batch_of(parts)), one(batch_of({"title": texts})))


def test_a_field_that_is_named_twice_is_not_counted_twice():
    with pytest.raises(ValueError, match="text_fields must be distinct, got title,title"):
        unigram.Config(text_fields=("title", "title"))


def test_a_video_without_words_gets_the_prior():
    texts, labels = made()
    model = fitted(unigram.Config(), [batch_of({"title": texts}, labels)])
    often = torch.tensor([sum(label in own for own in labels) for label in range(CLASSES)])
    torch.testing.assert_close(model(batch_of({"title": [[]]}))[0], often / often.sum())


@pytest.mark.parametrize("pending", [1, 7, 100, 10_000])
def test_counts_of_a_stream(pending):
    keys = np.random.default_rng(0).zipf(1.3, 5000) % 400
    counter = PairCounts(pending)
    for part in np.array_split(keys, 60):
        counter.add(part)
    for ours, theirs in zip(counter.result(), np.unique(keys, return_counts=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(len(each) == 0 for each in PairCounts().result())
