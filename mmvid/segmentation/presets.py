"""Named sizes of segmenters and their training: `compact` for a demo on two cores, and what is known of the paper's.

The paper states the heads' sizes and 50,000 epochs; the learning rates, losses and batches are those of public files
that match it. Training that long is over after a fiftieth of it: early stopping replaces it, and the steps are logged.
"""

from typing import Any, Literal

from mmvid.config import Options, option

HEADS: dict[str, dict[str, Any]] = {
    "compact": {
        "channels": 16,
        "widths": (16, 32, 64, 128, 128),
        "tail": (64, 32),
        "epochs": 60,
        "patience": 15,
        "learning_rate": 2e-3,
        "encoder_learning_rate": 1e-3,
        "decay": 0.97,
    },
    "paper": {
        "epochs": 50_000,
        "patience": 1000,
        "learning_rate": 2.146e-5,
        "encoder_learning_rate": 2.146e-6,
        "loss": "dice",
        "dropout": 0.25,
        "standardise": False,
    },
}

UNET: dict[str, dict[str, Any]] = {
    "compact": {
        "widths": (16, 32, 64, 128, 256),
        "epochs": 60,
        "patience": 15,
        "learning_rate": 2e-3,
        "decay": 0.97,
    },
    "paper": {
        "epochs": 5000,
        "patience": 500,
        "batch_size": 1,
        "optimiser": "adam",
        "learning_rate": 1e-5,
        "decay": 1.0,
        "loss": "bce",
    },
}


class SegmentPresetConfig(Options):
    """Sizes."""

    preset: Literal["compact", "paper"] = option("compact", "sizes and training; compact is for two cores")
