"""Import a published VideoGPT or VQ-VAE checkpoint and log it as a registered model.

    mlflow run . -e import_videogpt -P checkpoint=bair_gpt
    python -m steps.import_videogpt --checkpoint ucf101_stride4x4x4

Reads  the Lightning checkpoint at --checkpoint; nothing in it is run, all sizes come from the file.
Logs   config.json, parameters, the model as a version of mmvid-videogpt or mmvid-vqvae; with --export True the model
       again in the published format.
"""

from pathlib import Path

from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.encoder_package import EncoderPackage
from mmvid.encoders import describe
from mmvid.manifests import digest_of
from mmvid.published.videogpt import import_checkpoint
from mmvid.registry import versions
from mmvid.runs import Command, Run, RunConfig, Task
from steps.export_videogpt import log_published
from steps.train_vqvae import log_package


class ImportConfig(Options):
    """The checkpoint."""

    checkpoint: str = option("", "the published Lightning checkpoint, a file")
    export: bool = option(False, "also log the model in the published format, as the original code reads it")


def main(argv: list[str]) -> None:
    config, control = parse(argv, ImportConfig, RunConfig, about=__doc__)
    if not config.checkpoint:
        raise ValueError("checkpoint must be given: a published Lightning checkpoint of VideoGPT or of its VQ-VAE")
    path = Path(config.checkpoint)
    digest = digest_of(path)
    task = Task(
        "import_videogpt",
        {"export": config.export},
        {"checkpoint": digest},
        ("mmvid.published.videogpt",),
        name=f"import {path.name}",
    )

    def compute(run: Run) -> None:
        model = import_checkpoint(path)
        run.params({"checkpoint": str(path.resolve()), "encoder": model.name})
        run.json("config.json", describe(model))
        own = [part for name, part in model.named_parameters() if not name.startswith("vqvae.")]
        run.report({"parameters": float(sum(part.numel() for part in own))})
        log_package(run, EncoderPackage(model, digest, f"checkpoint {path.name}"))
        run.tags({"mmvid.encoder": model.name})
        if config.export:
            log_published(run, model)

    with Command() as command:
        finished = command.find_or_run(task, compute, force=control.force, own=True)
        name = f"mmvid-{finished.tags['mmvid.encoder']}"
        version = versions.register(name, finished)
    print(
        f"{name}: version {version} is candidate ({finished.metrics['parameters']:,.0f} parameters)\nrun {finished.id}"
    )


if __name__ == "__main__":
    run_command(main)
