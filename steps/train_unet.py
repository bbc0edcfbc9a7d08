"""Train the U-Net on labelled frames and log it to MLflow: the baseline of every head on latents.

    mlflow run . -e train_unet --env-manager local
    python -m steps.train_unet --preset paper --masks /data/masks

Reads  the labelled frames of --masks (the demo is made if it is `demo` and not there yet).
Logs   what train_segmentation logs.
"""

from mmvid.config import Options, parse
from mmvid.console import run_command
from mmvid.maskset import MasksConfig
from mmvid.presets import settle, unset
from mmvid.runs import Command, Finished, RunConfig
from mmvid.segmentation.experiment import Setup
from mmvid.segmentation.presets import UNET, SegmentPresetConfig
from mmvid.segmentation.training import SegmentConfig
from mmvid.segmenters import unet
from steps.train_segmentation import LabelConfig, find_or_train, labelled_of, tell

PARTS = (SegmentPresetConfig, unset(unet.Config), unset(SegmentConfig), LabelConfig, MasksConfig, RunConfig)


def main(argv: list[str]) -> None:
    read = parse(argv, *PARTS, about=__doc__)
    with Command() as command:
        finished = train(command, read, own=True)
    tell(finished)


def train(command: Command, read: tuple[Options, ...], *, own: bool = False) -> Finished:
    """The finished run of a U-Net with these options, trained now if there is none."""
    size, options, config, labels, masks, control = read
    preset = UNET[size.preset]
    setup = Setup("unet", settle(unet.Config, options, preset), settle(SegmentConfig, config, preset))
    return find_or_train(command, setup, labelled_of(command, masks, labels), force=control.force, own=own)


if __name__ == "__main__":
    run_command(main)
