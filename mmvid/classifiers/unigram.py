"""Unigram language models, one a label (paper A, equation 3).

A label's score is Pr(l) * product over the words k of the text of (n(k, l) + alpha) / (n(l) + alpha |L|), where n(k, l)
is how often k stands in the texts of videos with the label, n(l) the sum of n(k, l) over all words, and |L| the number
of labels. The equation says what scores are proportional to; GAP pools the scores of all videos, so it depends on
what they are divided by.

Computed as logarithms over the words that a label has seen: with m words in the text, the logarithm of the product is
m log(alpha) - m log(n(l) + alpha |L|) + sum of log(1 + n(k, l) / alpha), and the last sum is over n(k, l) > 0 alone.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from mmvid.classifiers import Classifier
from mmvid.config import option
from mmvid.layers.counting import PairCounts
from mmvid.layers.text import TextOptions
from mmvid.records.batches import Batch, Shapes


class Config(TextOptions):
    """Unigram."""

    alpha: float = option(0.001, "added to each count", gt=0, search=(1e-4, 1.0), log=True)
    scale: Literal["softmax", "max_over_score"] = option(
        "softmax",
        "what a video's scores are divided by: softmax gives them the sum 1; max_over_score is the authors' largest "
        "logarithm over each",
    )


class Model(Classifier):
    """Words (B, L) to scores (B, C) by counts.

    The counts are kept by word, as compressed sparse rows: those of word k, from 1 on, are
    `counts[starts[k - 1]:starts[k]]`, of the labels at the same places of `labels`.
    """

    modalities: list[str] = []
    traits = frozenset({"fitted_by_counts"})

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__()
        if shapes.words == 0:
            raise ValueError("unigram reads text, and there are no words")
        self.config, self.words, self.classes = config, shapes.words, shapes.classes
        self.reads_text, self.label_words = config.text_fields, config.label_words
        self._kept: csr_array | None = None
        self.register_buffer("starts", torch.zeros(shapes.words + 1, dtype=torch.int64))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("totals", torch.zeros(shapes.classes, dtype=torch.int64))  # n(l)
        self.register_buffer("videos", torch.zeros(shapes.classes, dtype=torch.int64))  # with each label

    def fit_counts(self, batches: Iterable[Batch]) -> None:
        pairs = PairCounts()
        videos = torch.zeros(self.classes, dtype=torch.int64)
        for batch in batches:
            video, label = (each.numpy() for each in batch.labels.nonzero(as_tuple=True))
            videos += torch.from_numpy(np.bincount(label, minlength=self.classes))
            labels_of = np.bincount(video, minlength=len(batch))
            first = labels_of.cumsum() - labels_of
            for field in self.reads_text:
                words = batch.tokens[field].numpy()
                owner, place = words.nonzero()
                many = labels_of[owner]  # every word with every label of its video
                within = np.arange(many.sum()) - np.repeat(many.cumsum() - many, many)
                paired = label[np.repeat(first[owner], many) + within]
                pairs.add(np.repeat(words[owner, place] - 1, many) * self.classes + paired)
        keys, counts = pairs.result()
        self._kept = None
        words, labels = np.divmod(keys, self.classes)
        starts = np.concatenate([[0], np.bincount(words, minlength=self.words).cumsum()])
        self.starts, self.labels = torch.from_numpy(starts), torch.from_numpy(labels.astype(np.int32))
        self.counts, self.videos = torch.from_numpy(counts.astype(np.int32)), videos
        self.totals = torch.zeros(self.classes, dtype=torch.int64).index_add_(0, self.labels.long(), self.counts.long())

    def log_scores(self, batch: Batch) -> Tensor:
        """The logarithm of equation (3), float64 (B, C); minus infinity for labels that no video had."""
        words = torch.cat([batch.tokens[field] for field in self.reads_text], dim=1)
        video, place = words.cpu().numpy().nonzero()
        once = np.ones(len(video)), (video, words.cpu().numpy()[video, place] - 1)
        sums = csr_array(once, shape=(len(words), self.words)) @ self._gains()  # (B, C), sparse
        lengths = (words > 0).sum(dim=1, keepdim=True)
        rest = np.log(self.config.alpha) - torch.log(self.totals.double() + self.config.alpha * self.classes)
        prior = torch.log(self.videos.double()) - torch.log(self.videos.sum().double())
        return prior + lengths * rest + torch.from_numpy(sums.toarray()).to(words.device)

    def _gains(self) -> csr_array:
        """log(1 + n(k, l) / alpha) of each word and label, sparse (V, C); made when it is first needed."""
        if self._kept is None:
            values = np.log1p(self.counts.cpu().numpy() / self.config.alpha)
            rows = self.labels.cpu().numpy(), self.starts.cpu().numpy()
            self._kept = csr_array((values, *rows), shape=(self.words, self.classes))
        return self._kept

    def log_odds(self, batch: Batch) -> Tensor:
        scores = self.log_scores(batch)
        if self.config.scale == "max_over_score":
            # All logarithms are below 0 unless one label is certain; the nearest to 0 gets 1, a label never seen 0.
            best = scores.max(dim=1, keepdim=True).values.clamp(max=-1e-9)
            return torch.logit(best / scores.clamp(max=-1e-9)).float()
        log_p = scores.log_softmax(dim=1)
        return (log_p - torch.log(-torch.expm1(log_p))).float()

    def penalty(self) -> Tensor:
        return torch.zeros(())

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        self._kept = None
        for name in ("labels", "counts"):  # as many as there were pairs of word and label
            if prefix + name in state_dict:
                setattr(self, name, torch.zeros_like(state_dict[prefix + name], device=self.starts.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
