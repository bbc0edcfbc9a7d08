"""Titles and keywords to video-level features: the paper's 1024-d histogram of keywords, a TextCNN's word on titles.

Of a title the feature is the TextCNN's score of each label, and a 1. Unlike the paper's feature, 4096-d activations,
scores mean the same for any two networks, so training videos can be given those of a network that has not seen them.
Classifiers normalise the feature to length 1; by the 1 in it scores that are all low stay low.

One object does both for the data set (`text_features`) and for a request (a served mixture of experts), from ids or raw
text. On disk it is a folder: `encoder.json`, `words.txt`, `weights.safetensors`; reading it runs no code from it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mmvid.classifiers import textcnn
from mmvid.classifiers.keywords import WordHistogram
from mmvid.config import Options, explain, option
from mmvid.records.batches import Batch, Shapes
from mmvid.records.words import pad
from mmvid.text.fields import Cleaning
from mmvid.text.raw import RawText

FORMAT = 1
TitleFeature = Literal["scores", "activations"]


class Description(Options):
    """What an encoder is, beside its words and numbers."""

    format: int = option(FORMAT, "version of the layout", ge=FORMAT, le=FORMAT)
    clusters: int = option(..., "size of the histogram", ge=1)
    titles: textcnn.Config | None = option(None, "options of the TextCNN, where there is one")
    shapes: Shapes = option(..., "words, the size of their vectors, and the labels that the TextCNN scores")
    title: TitleFeature = option("activations", "the feature of a title")
    cleaning: Cleaning = option(..., "how raw titles and keywords are cleaned")


class TextEncoder(nn.Module):
    """Histogram of the words in keywords, and the scores or the hidden activations of a TextCNN over titles.

    Attributes:
        text: the words that are known, and how raw text is read.
        sizes: feature -> its size; without a TextCNN there is none of titles.
    """

    def __init__(
        self,
        text: RawText,
        histogram: WordHistogram,
        titles: textcnn.Model | None,
        title: TitleFeature = "activations",
    ):
        """
        Args:
            text: the words and the cleaning.
            histogram: of the words in keywords.
            titles: the TextCNN of titles; None for data without titles to learn one from.
            title: the feature of a title: the TextCNN's scores and a 1, or its activations.
        """
        super().__init__()
        self.text, self.histogram, self.titles, self.title = text, histogram, titles, title
        self.sizes = {"keywords": histogram.clusters}
        if titles is not None:
            self.sizes["title"] = titles.config.hidden if title == "activations" else titles.classes + 1
        self.eval()

    @torch.inference_mode()
    def features(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """Word ids, `title` and `keywords` -> int64 (B, L), to `keywords` (B, K) and `title` (B, C + 1 or H).

        A video without a known word in a field has zeros there.
        """
        features = {"keywords": self.histogram(tokens["keywords"])}
        return features if self.titles is None else features | {"title": self.of_titles(tokens, self.titles)}

    @torch.inference_mode()
    def of_titles(self, tokens: dict[str, Tensor], network: textcnn.Model) -> Tensor:
        """The feature of titles by any network that was built like the encoder's own, (B, C + 1 or H)."""
        batch = Batch(ids=[""] * len(tokens["title"]), tokens=tokens)
        network.eval()
        scored = self.title == "scores"
        titles = functional.pad(network(batch), (0, 1), value=1.0) if scored else network.hidden(batch)
        return titles * _any_word(tokens, network.reads_text)[:, None]

    def present(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """Which videos have each of the features: those with a known word in its text, bool (B,)."""
        read = {"keywords": ("keywords",)} | ({} if self.titles is None else {"title": self.titles.reads_text})
        return {name: _any_word(tokens, fields) for name, fields in read.items()}

    def tokens(self, titles: Sequence[str | None], keywords: Sequence[Sequence[str] | None]) -> dict[str, Tensor]:
        """The word ids of raw titles and keywords, one of each a video, None where there is none."""
        numbers = {
            "title": [self.text.title(title) for title in titles],
            "keywords": [self.text.keywords(each) for each in keywords],
        }
        return {field: pad_numbers(rows)[0] for field, rows in numbers.items()}

    def save(self, folder: Path) -> None:
        """Writes the encoder into `folder`, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        description = Description(
            clusters=self.histogram.clusters,
            titles=None if self.titles is None else self.titles.config,
            shapes=Shapes(
                classes=1 if self.titles is None else self.titles.classes,
                words=len(self.text.words),
                word_size=self.histogram.centroids.shape[1],
            ),
            cleaning=self.text.cleaning,
            title=self.title,
        )
        (folder / "encoder.json").write_text(description.model_dump_json(indent=2, by_alias=True) + "\n", "utf-8")
        (folder / "words.txt").write_bytes("".join(f"{word}\n" for word in self.text.words).encode())
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "TextEncoder":
        """Reads an encoder.

        Raises:
            ValueError: if a file is missing or damaged, or they disagree; the sentence names it.
        """
        path = folder / "encoder.json"
        try:
            told = Description.model_validate(json.loads(path.read_text(encoding="utf-8")))
            words = (folder / "words.txt").read_bytes().decode().split("\n")[:-1]
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder} must hold a text encoder: {error}") from error
        except ValidationError as error:
            raise ValueError(f"{path}: {explain(error)}") from error
        if len(words) != told.shapes.words:
            raise ValueError(f"{folder / 'words.txt'} must hold {told.shapes.words} words, got {len(words)}")
        histogram = WordHistogram(told.shapes.words, told.shapes.word_size, told.clusters)
        titles = None if told.titles is None else textcnn.Model(told.titles, told.shapes)
        encoder = cls(RawText(words, told.cleaning), histogram, titles, told.title)
        try:
            encoder.load_state_dict(load_file(folder / "weights.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            sentence = " ".join(str(error).split())
            raise ValueError(f"{folder / 'weights.safetensors'} must hold an encoder's weights: {sentence}") from error
        return encoder.eval()


def _any_word(tokens: dict[str, Tensor], fields: Sequence[str]) -> Tensor:
    """Which videos have a known word in any of the fields, bool (B,)."""
    return torch.cat([tokens[field] for field in fields], dim=1).any(dim=1)


def pad_numbers(rows: Sequence[Sequence[int]], longest: int = 0) -> tuple[Tensor, Tensor]:
    """Numbers of words, a text a row, as `Batch.tokens` and `Batch.token_lengths`.

    Args:
        rows: the numbers.
        longest: words of a text that are kept, the first ones; 0 keeps all.
    """
    kept = [row[: longest or None] for row in rows]
    lengths = np.array([len(row) for row in kept], np.int64)
    words = np.array([number for row in kept for number in row], np.int64)
    return pad(words, np.repeat(np.arange(len(kept)), lengths), lengths)
