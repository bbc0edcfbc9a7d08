"""Stacked LSTM over all frames (Hochreiter and Schmidhuber 1997; the starter code's `LstmModel`; paper A, 4.1).

The last layer's hidden state at a video's last frame goes to a mixture of experts. Sequences are packed: padding
is never stepped through, and on a GPU cuDNN runs the whole stack.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from mmvid.classifiers import FrameClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import FeatureOptions
from mmvid.layers.head import Head
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.003}  # the original says 0.001, of 1024 cells


class Config(FeatureOptions, Preset):
    """Stacked LSTM."""

    presets = {
        "compact": {"cells": 256, "layers": 2, "experts": 2, "dropout": 0.2},
        "lstm_a": {"cells": 1024, "layers": 2, "experts": 2, "dropout": 0.0},
        "lstm_b": {"cells": 512, "layers": 4, "experts": 4, "dropout": 0.0},
    }
    preset: Literal["compact", "lstm_a", "lstm_b"] = option(
        "compact", "options that are not given; lstm_a and lstm_b are paper A's", decides=False
    )
    cells: int | None = option(None, "cells of a layer (preset)", ge=1, search=(128, 1024), log=True)
    layers: int | None = option(None, "layers (preset)", ge=1, search=(1, 4))
    experts: int | None = option(None, "experts for each class; 0 is logistic regression (preset)", ge=0, search=(0, 8))
    dropout: float | None = option(
        None, "share dropped between layers and before the experts (preset)", ge=0, lt=1, search=(0.0, 0.7)
    )
    l2_penalty: float = option(1e-8, "penalty on the experts' weights", ge=0, search=(1e-9, 1e-5), log=True)


class Model(FrameClassifier):
    """Frames (B, T, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(self.reader.size, config.cells, config.layers, batch_first=True, dropout=between)
        for layer in range(config.layers):
            _initialise(self.lstm, layer)
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.cells + self.reader.beside, shapes.classes, config.experts, rare=False)

    def log_odds(self, batch: Batch) -> Tensor:
        lengths = batch.num_frames.cpu()  # where packing needs them
        packed = pack_padded_sequence(self.reader.frames(batch), lengths, batch_first=True, enforce_sorted=False)
        states = self.lstm(packed)[1][0]  # (layers, B, H), each at its video's last frame
        return self.head(torch.cat([self.dropout(states[-1]), *self.reader.vectors(batch)], 1))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * self.head.squared_weights()


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
