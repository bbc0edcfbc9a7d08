"""Train a segmentation head on an encoder's latents and log it to MLflow; the encoder is found, or trained first.

    mlflow run . -e train_segmentation --env-manager local
    mlflow run . -e train_segmentation -P head=attention -P finetune=True
    python -m steps.train_segmentation --head linear --latent codes_still --encoder 4f0c...

Reads  the labelled frames of --masks (the demo is made if it is `demo` and not there yet), the encoder at --encoder: a
       run's id, models:/..., or `videogpt`, the VideoGPT of --encoder_preset on the clips of --encoder_clips.
Logs   config.json, train/loss and dev/* for each epoch, IoU and Dice on gate and validate beside those of the mean mask
       and of the best constant mask, a gallery with the worst pictures first, predicted masks, the model.
Latents of a frozen encoder are computed once and shared by all heads; augmentation and finetune compute them anew at
each step, which only latent=resnet allows.
"""

from pydantic import ValidationError

from mmvid import encoder_serving, segmenters
from mmvid.config import Options, explain, option, parse
from mmvid.console import run_command
from mmvid.encoder_package import EncoderPackage
from mmvid.encoder_presets import VideogptPreset
from mmvid.latents import LatentConfig
from mmvid.maskset import MasksConfig
from mmvid.presets import settle, unset
from mmvid.registry.versions import model_uri
from mmvid.runs import Command, Finished, RunConfig, load_run
from mmvid.segmentation.experiment import EncoderUse, Setup
from mmvid.segmentation.presets import HEADS, SegmentPresetConfig
from mmvid.segmentation.training import SegmentConfig
from steps import train_videogpt
from steps.train_unet import LabelConfig, find_or_train, labelled_of, tell


class HeadConfig(Options):
    """The head."""

    head: str = option("attention", f"one of {', '.join(segmenters.head_names())}")


class EncoderConfig(Options):
    """The encoder."""

    encoder: str = option("videogpt", "a run's id, models:/..., or `videogpt`, found or trained now")
    encoder_preset: VideogptPreset = option("compact", "sizes and training of that VideoGPT")
    encoder_clips: str = option("demo", "the clips that it is trained on, without masks")


PARTS = (
    SegmentPresetConfig,
    HeadConfig,
    segmenters.options_of_heads(),
    unset(SegmentConfig),
    EncoderConfig,
    LatentConfig,
    unset(EncoderUse),
    LabelConfig,
    MasksConfig,
    RunConfig,
)


def main(argv: list[str]) -> None:
    read = parse(argv, *PARTS, about=__doc__)
    with Command() as command:
        finished = train(command, read, own=True)
    tell(finished)


def train(command: Command, read: tuple[Options, ...], *, own: bool = False) -> Finished:
    """The finished run of a head with these options, and of its encoder, trained now if there is none."""
    size, head, options, config, encoder, latent, use, labels, masks, control = read
    preset = HEADS[size.preset]
    config, use = settle(SegmentConfig, config, preset), settle(EncoderUse, use, preset)
    options = settle_head(head.head, options, preset)
    package = encoder_of(command, encoder)
    setup = Setup(head.head, options, config, package, latent, use)
    labelled = labelled_of(command, masks, labels)
    return find_or_train(command, setup, labelled, force=control.force, own=own)


def settle_head(name: str, given: Options, preset: dict) -> Options:
    """The config of a head from the options of all heads.

    Raises:
        ValueError: if there is no such head, or an option of another head is given.
    """
    if name not in segmenters.head_names():
        raise ValueError(f"head must be one of {', '.join(segmenters.head_names())}, got {name!r}")
    kind = segmenters.load(name).Config
    for option_name, value in given:
        if value is not None and option_name not in kind.model_fields:
            there = ", ".join(kind.model_fields)
            raise ValueError(f"{option_name} must not be given with head={name}, whose options are {there}")
    try:
        return settle(kind, given, preset)
    except ValidationError as error:
        raise ValueError(explain(error)) from error


def encoder_of(command: Command, config: EncoderConfig) -> EncoderPackage:
    """The encoder of a run or of a model's URI, or the VideoGPT of a preset, found or trained now."""
    if config.encoder == "videogpt":
        kinds = {"preset": config.encoder_preset, "data": config.encoder_clips}
        read = tuple(
            kind(**{name: value for name, value in kinds.items() if name in kind.model_fields})
            for kind in train_videogpt.PARTS
        )
        return encoder_serving.load_logged(model_uri(train_videogpt.train(command, read)))
    uri = config.encoder if config.encoder.startswith("models:/") else model_uri(load_run(config.encoder))
    return encoder_serving.load_logged(uri)


if __name__ == "__main__":
    run_command(main)
