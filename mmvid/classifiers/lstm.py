"""Stacked LSTM over all frames (Hochreiter and Schmidhuber 1997; the starter code's `LstmModel`; paper A, 4.1).

The last layer's hidden state at a video's last frame, or its average over the frames, goes to a mixture of experts.
Sequences are packed: padding is never stepped through, and on a GPU cuDNN runs the whole stack.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from mmvid.classifiers import FrameClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import FeatureOptions, Normalisation
from mmvid.layers.head import Head
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.003}  # the original says 0.001, of 1024 cells

TRAINING_PRESETS = {
    "audioset": {
        "learning_rate": 0.002,
        "batch_size": 256,
        "decay": 0.5,
        "decay_examples": 53_000,
        "clip": "global",
        "ema": 0.99,
    }
}
STEADY = {"pooling": "average", "batch_norm": True, "rare": True}  # few videos do not teach the paper's way
PAPER = {"dropout": 0.0, "normalisation": "per_modality", "pooling": "last", "batch_norm": False, "rare": False}


class Config(FeatureOptions, Preset):
    """Stacked LSTM."""

    presets = {
        "compact": STEADY | {"cells": 256, "layers": 2, "experts": 2, "dropout": 0.2, "normalisation": "per_modality"},
        "lstm_a": PAPER | {"cells": 1024, "layers": 2, "experts": 2},
        "lstm_b": PAPER | {"cells": 512, "layers": 4, "experts": 4},
        "audioset": STEADY | {"cells": 256, "layers": 1, "experts": 2, "dropout": 0.4, "normalisation": "none"},
    }
    preset: Literal["compact", "lstm_a", "lstm_b", "audioset"] = option(
        "compact", "options not given; lstm_a and lstm_b are paper A's, audioset is for its clips", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")
    cells: int | None = option(None, "cells of a layer (preset)", ge=1, search=(128, 1024), log=True)
    layers: int | None = option(None, "layers (preset)", ge=1, search=(1, 4))
    experts: int | None = option(None, "experts for each class; 0 is logistic regression (preset)", ge=0, search=(0, 8))
    dropout: float | None = option(
        None, "share dropped between layers and before the experts (preset)", ge=0, lt=1, search=(0.0, 0.7)
    )
    pooling: Literal["last", "average"] | None = option(
        None, "a video's hidden state: that at its last frame, the paper's, or the mean over its frames (preset)"
    )
    batch_norm: bool | None = option(
        None, "batch normalisation of the state that the experts read, beyond the paper (preset)"
    )
    norm_decay: float = option(0.9, "how slowly its moving averages fade", gt=0, lt=1)
    rare: bool | None = option(None, "scores begin near 1 / classes; those of the starter code near 1 / 3 (preset)")
    l2_penalty: float = option(1e-8, "penalty on the experts' weights", ge=0, search=(1e-9, 1e-5), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(self.reader.size, config.cells, config.layers, batch_first=True, dropout=between)
        for layer in range(config.layers):
            _initialise(self.lstm, layer)
        self.norm = batch_norm(config.cells, config.norm_decay) if config.batch_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.cells + self.reader.beside, shapes.classes, config.experts, rare=config.rare)

    def log_odds(self, batch: Batch) -> Tensor:
        lengths = batch.num_frames.cpu()  # where packing needs them
        packed = pack_padded_sequence(self.reader.frames(batch), lengths, batch_first=True, enforce_sorted=False)
        outputs, (last, _) = self.lstm(packed)  # `last` is (layers, B, H), each at its video's last frame
        state = last[-1] if self.config.pooling == "last" else _mean(outputs, batch.num_frames)
        return self.head(torch.cat([self.dropout(self.norm(state)), *self.reader.vectors(batch)], 1))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


def _mean(outputs: PackedSequence, num_frames: Tensor) -> Tensor:
    """The mean over each video's frames, (B, H)."""
    states, _ = pad_packed_sequence(outputs, batch_first=True)  # zeros where padded
    return states.sum(1) / num_frames[:, None].to(states.dtype)


def _initialise(lstm: nn.LSTM, layer: int) -> None:
    """Weights Xavier-uniform over inputs and states together, biases zero but the forget gate's 1.

    torch has two biases of each gate that are added; the second one stays zero, or each step would count twice.
    """
    inputs, states = getattr(lstm, f"weight_ih_l{layer}"), getattr(lstm, f"weight_hh_l{layer}")
    width = lstm.hidden_size
    bound = math.sqrt(6 / (inputs.shape[1] + width + 4 * width))
    nn.init.uniform_(inputs, -bound, bound)
    nn.init.uniform_(states, -bound, bound)
    bias, second = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
    nn.init.zeros_(bias)
    nn.init.ones_(bias.data[width : 2 * width])  # torch's order: input, forget, candidate, output
    nn.init.zeros_(second)
    second.requires_grad_(False)
