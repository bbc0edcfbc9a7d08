"""A multilayer perceptron on video-level features: dense layers with dropout, then logistic regression or experts."""

from typing import Literal

from torch import Tensor, nn

from mmvid.classifiers import VectorClassifier
from mmvid.config import Preset, option
from mmvid.layers.features import FusionOptions, Normalisation
from mmvid.layers.head import Head
from mmvid.layers.perceptron import Perceptron
from mmvid.layers.slim import batch_norm
from mmvid.records.batches import Batch, Shapes

TRAINING = {"learning_rate": 0.002, "batch_size": 256}
TRAINING_PRESETS = {"audioset": {"decay": 0.5, "decay_examples": 53_000}}


class Config(FusionOptions, Preset):
    """Multilayer perceptron."""

    presets = {"compact": {"normalisation": "per_modality"}, "audioset": {"normalisation": "none"}}
    preset: Literal["compact", "audioset"] = option(
        "compact", "options that are not given; audioset is tuned on AudioSet", decides=False
    )
    normalisation: Normalisation | None = option(None, "L2 normalisation of the input; joint: the original's (preset)")

    hidden: tuple[int, ...] = option((1024, 1024), "widths of the hidden layers")
    dropout: float = option(0.5, "share of each hidden layer dropped in training", ge=0, lt=1, search=(0.0, 0.7))
    batch_norm: bool = option(True, "batch normalisation of the features and of each hidden layer")
    norm_decay: float = option(0.9, "how slowly its moving averages fade", gt=0, lt=1)
    experts: int = option(0, "experts for each class; 0 is logistic regression", ge=0, search=(0, 4))
    l2_penalty: float = option(1e-8, "penalty on all weight matrices", ge=0, search=(1e-9, 1e-4), log=True)


class Model(VectorClassifier):
    """Joined features (B, D) to scores (B, C)."""

    def __init__(self, config: Config, shapes: Shapes):
        super().__init__(config, shapes)
        if not config.hidden or min(config.hidden) < 1:
            raise ValueError(f"hidden must be widths of at least 1, got {','.join(map(str, config.hidden)) or 'none'}")
        decay = config.norm_decay if config.batch_norm else None
        self.norm = nn.Identity() if decay is None else batch_norm(self.join.size, decay)
        self.layers = Perceptron(self.join.size, config.hidden, config.dropout, decay)
        self.head = Head(config.hidden[-1], shapes.classes, config.experts)

    def log_odds(self, batch: Batch) -> Tensor:
        return self.head(self.layers(self.norm(self.join(batch.features, batch.presence, self.training))))

    def penalty(self) -> Tensor:
        return self.config.l2_penalty * (self.layers.squared_weights() + self.head.squared_weights())
