"""Training of any segmenter: its options, its optimiser, how it is measured on dev; the loop itself is in `loop`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmvid import loop
from mmvid.config import Options, option
from mmvid.layers.mask_losses import MaskLoss, mask_loss
from mmvid.loop import Fitted, Learner, Report
from mmvid.metrics.overlap import OverlapMeter
from mmvid.segmentation.batches import MaskBatch, MaskLoader
from mmvid.segmentation.model import Segmentation


class SegmentConfig(Options):
    """Training of a segmenter."""

    epochs: int = option(1000, "passes over train at most", ge=1)
    batch_size: int = option(8, "pictures in a batch", ge=1, search=(1, 32), log=True)
    optimiser: Literal["adamw", "adam", "sgd"] = option("adamw", "sgd has momentum", search=("adamw", "adam", "sgd"))
    learning_rate: float = option(1e-3, "learning rate", gt=0, search=(1e-6, 1e-2), log=True)
    momentum: float = option(0.9, "of sgd", ge=0, lt=1)
    weight_decay: float = option(0.01, "of adamw", ge=0, search=(1e-4, 1e-1), log=True)
    decay: float = option(0.99, "factor on the learning rates after each epoch", gt=0, le=1)
    loss: MaskLoss = option("dice+bce", "training loss", search=("dice", "bce", "jaccard", "dice+bce"))
    positive_weight: float = option(0.0, "of the mask's pixels in bce; 0: one over their share in train", ge=0)
    threshold: float = option(0.5, "probability from which on a pixel is in the mask", gt=0, lt=1)
    patience: int = option(100, "epochs without a better dev IoU before training stops; 0 never stops", ge=0)
    flip: bool = option(False, "mirror half of the frames, with their masks")
    colour: float = option(
        0.0, "share by which brightness, contrast and saturation change", ge=0, lt=1, search=(0, 0.5)
    )
    crop: float = option(1.0, "least share of a frame's area that is cut out, with its mask", gt=0, le=1)
    precision: loop.Precision = option("32", "arithmetic")
    ema: float = option(0.0, "decay of the weights' moving average, which is kept; 0 averages nothing", ge=0, lt=1)
    seed: int = option(0, "seed of weights, order, augmentation and dropout", ge=0)


class Segmenting(Learner):
    """A segmenter, its loss and its optimiser; on dev the mean overlap of the pictures and that of all pixels.

    Args:
        model: what is trained.
        config: how.
        positive_weight: of the mask's pixels in `bce`.
        encoder_learning_rate: of the encoder, where the model has one.
    """

    monitor = "dev/iou"
    better = "more"
    shown = ("train/loss", "dev/iou", "dev/dice")

    def __init__(
        self, model: Segmentation, config: SegmentConfig, positive_weight: float, encoder_learning_rate: float
    ):
        super().__init__()
        self.model, self.config, self.positive_weight = model, config, positive_weight
        self.encoder_learning_rate = encoder_learning_rate
        self.meter = OverlapMeter(config.threshold)

    def loss(self, batch: MaskBatch) -> Tensor:
        return mask_loss(self.model(batch.inputs), batch.masks, self.config.loss, self.positive_weight)

    def validation_step(self, batch: MaskBatch, index: int) -> None:
        self.meter.update(self.model(batch.inputs).float().sigmoid(), batch.masks)

    def on_validation_epoch_end(self) -> None:
        found = self.meter.compute()
        self.dev_metrics = {f"dev/{name}": float(found[name]) for name in ("iou", "dice", "pooled_iou")}
        self.log("dev/iou", self.dev_metrics["dev/iou"], prog_bar=True)
        self.meter.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.config
        groups = [{"params": list(self.model.head.parameters()), "lr": config.learning_rate}]
        if self.model.encoder is not None:
            trained = [weight for weight in self.model.encoder.parameters() if weight.requires_grad]
            groups.append({"params": trained, "lr": self.encoder_learning_rate})
        for group in groups:
            group["first_lr"] = group["lr"]
        if config.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=True)
        if config.optimiser == "adam":
            return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
        return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            group["lr"] = group["first_lr"] * self.config.decay**self.current_epoch


def fit(
    model: Segmentation,
    train: MaskLoader,
    dev: Iterable[MaskBatch],
    config: SegmentConfig,
    *,
    encoder_learning_rate: float = 0.0,
    checkpoints: Path | None = None,
    report: Report = lambda metrics, epoch: None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
) -> Fitted:
    """Trains a segmenter in place and leaves it with the weights of its best epoch on `dev`; see `loop.train`.

    Raises:
        ValueError: if no pixel of train is in a mask, or the loss becomes NaN or infinite.
    """
    share = float(train.masks.mean())
    if not share:
        raise ValueError("the masks of train must have pixels, all of them are empty")
    return loop.train(
        Segmenting(model, config, config.positive_weight or 1 / share, encoder_learning_rate),
        train,
        dev,
        epochs=config.epochs,
        patience=config.patience,
        precision=config.precision,
        ema=config.ema,
        checkpoints=checkpoints,
        report=report,
        callbacks=callbacks,
        progress=progress,
    )
