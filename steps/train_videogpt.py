"""Train VideoGPT on clips and log it to MLflow; its frozen VQ-VAE is found, or trained first.

    mlflow run . -e train_videogpt --env-manager local
    mlflow run . -e train_videogpt -P data=/data/bair -P preset=bair
    python -m steps.train_videogpt --data /data/bair --vqvae 4f0c...

Reads  the clips at --data (the demo is made if it is `demo` and not there yet), the VQ-VAE at --vqvae, which by
       default is that of the same preset on the same clips.
Logs   config.json, train/loss and dev/* at each check, pictures of predictions as images and animations, validate/*:
       PSNR and SSIM of predictions by time step beside those of copying the last given frame, the model as a version
       of mmvid-videogpt.
The codes of the frozen VQ-VAE are computed once and shared by all runs on the same clips; with --code_precision
bf16-mixed codes/changed is the share of dev's codes that come out unlike those in float32.
"""

from mmvid import encoder_serving, loop
from mmvid.clips.store import ClipStore
from mmvid.clipset import ClipsConfig, open_clips
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.encoder_experiment import MeasureConfig, Setup, WindowConfig
from mmvid.encoder_package import EncoderPackage
from mmvid.encoder_presets import VIDEOGPT, VQVAE, VideogptPresetConfig
from mmvid.encoders import videogpt, vqvae
from mmvid.presets import settle, unset
from mmvid.pretraining import PretrainConfig
from mmvid.registry.versions import model_uri
from mmvid.runs import Command, Finished, RunConfig
from steps.train_vqvae import encoder_of, find_or_train, tell


class PartConfig(Options):
    """The frozen VQ-VAE."""

    vqvae: str = option("", "a run's id or models:/...; none: that of the preset on these clips, trained if need be")
    code_precision: loop.Precision = option(
        "32", "arithmetic that makes codes of clips; bf16-mixed takes about half the time, and changes a few codes"
    )


PARTS = (
    VideogptPresetConfig,
    unset(videogpt.Config),
    unset(PretrainConfig),
    PartConfig,
    unset(WindowConfig),
    unset(MeasureConfig),
    ClipsConfig,
    RunConfig,
)


def main(argv: list[str]) -> None:
    read = parse(argv, *PARTS, about=__doc__)
    with Command() as command:
        finished = train(command, read, own=True)
    tell(finished)


def defaults() -> tuple[Options, ...]:
    """What `train` trains where nothing is said."""
    return tuple(kind() for kind in PARTS)


def train(command: Command, read: tuple[Options, ...], *, own: bool = False) -> Finished:
    """The finished run of a VideoGPT with these options, and of its VQ-VAE, trained now if there is none."""
    size, model, train, part, windows, measure, data, control = read
    preset = VIDEOGPT[size.preset]
    model, train = settle(videogpt.Config, model, preset), settle(PretrainConfig, train, preset)
    windows, measure = settle(WindowConfig, windows, preset), settle(MeasureConfig, measure, preset)
    store = open_clips(command, data)
    frozen = vqvae_of(command, part.vqvae, store, size.preset, windows)
    setup = Setup("videogpt", model, train, windows, measure, frozen, part.code_precision)
    return find_or_train(command, setup, store, force=control.force, own=own)


def vqvae_of(command: Command, given: str, store: ClipStore, preset: str, windows: WindowConfig) -> EncoderPackage:
    """The VQ-VAE of a run or of a model's URI; without either the preset's on these clips, found or trained now.

    Raises:
        ValueError: if it is no VQ-VAE; of a VideoGPT the VQ-VAE inside is taken.
    """
    if not given:
        sizes = settle(vqvae.Config, unset(vqvae.Config)(), VQVAE[preset])
        train = settle(PretrainConfig, unset(PretrainConfig)(), VQVAE[preset])
        finished = find_or_train(command, Setup("vqvae", sizes, train, windows, MeasureConfig()), store)
        return encoder_serving.load_logged(model_uri(finished))
    package = encoder_of(given)
    if package.name == "videogpt":
        return EncoderPackage(package.model.vqvae, f"{package.key}.vqvae", package.origin, package.frame_stride)
    if package.name != "vqvae":
        raise ValueError(f"vqvae must name a VQ-VAE, {given} is a {package.name}")
    return package


if __name__ == "__main__":
    run_command(main)
