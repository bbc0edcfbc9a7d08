"""Named sizes of encoders and their training: `compact` for a demo on two cores, the published ones.

VideoGPT's published VQ-VAEs have 2048 codes of 256 numbers and 240 channels; its GPTs attend sparsely. The sizes of
`bair` and `ucf101` are read from the shapes and file sizes that are public, as the hyperparameters were not published.
`paper` is what the paper's tables say of BAIR, which differs from the released models.
"""

from typing import Any, Literal

from mmvid.config import Options, option

VqvaePreset = Literal["compact", "bair", "ucf101", "kinetics", "paper"]
VideogptPreset = Literal["compact", "bair", "ucf101"]

_PUBLISHED = {"steps": 200_000, "checks": 100, "batch_size": 32, "learning_rate": 3e-4}

VQVAE: dict[str, dict[str, Any]] = {
    "compact": {
        "sequence_length": 8,
        "resolution": 32,
        "stride": (4, 4, 4),
        "codes": 256,
        "code_size": 32,
        "hidden": 32,
        "residual_layers": 1,
        "frame_stride": 2,
        "steps": 600,
        "checks": 6,
        "batch_size": 8,
        "learning_rate": 3e-3,
    },
    "bair": {"stride": (4, 2, 2), "resolution": 64, **_PUBLISHED},
    "ucf101": {"stride": (4, 4, 4), "resolution": 128, **_PUBLISHED},
    "kinetics": {"stride": (2, 4, 4), "resolution": 128, **_PUBLISHED},
    "paper": {
        "stride": (2, 2, 2),
        "resolution": 64,
        "codes": 1024,
        **_PUBLISHED,
        "steps": 100_000,
        "learning_rate": 7e-4,
    },
}

VIDEOGPT: dict[str, dict[str, Any]] = {
    "compact": {
        "conditioned_frames": 1,
        "width": 96,
        "heads": 4,
        "layers": 3,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "resnet_width": 8,
        "resnet_size": 96,
        "aligned_condition": True,
        "frame_stride": 2,
        "temperature": 0.0,
        "steps": 600,
        "checks": 6,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "warmup": 50,
        "clip_norm": 1.0,
        "ema": 0.98,
    },
    "bair": {"attention": "sparse", **_PUBLISHED},
    "ucf101": {
        "conditioned_frames": 0,
        "width": 768,
        "heads": 8,
        "layers": 20,
        "attention": "sparse",
        **_PUBLISHED,
    },
}


class VqvaePresetConfig(Options):
    """Sizes."""

    preset: VqvaePreset = option("compact", "sizes and training; compact is for two cores, the others are published")


class VideogptPresetConfig(Options):
    """Sizes."""

    preset: VideogptPreset = option("compact", "sizes and training; compact is for two cores, the others are published")
