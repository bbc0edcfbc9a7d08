"""Export a VideoGPT or a VQ-VAE in the published format, as the original code reads it.

    mlflow run . -e export_videogpt --env-manager local
    python -m steps.export_videogpt --model models:/mmvid-vqvae@candidate

Reads  the encoder at --model.
Logs   published/vqvae.ckpt, and of a VideoGPT published/gpt.ckpt. What the original cannot express is refused.
"""

import shutil
import tempfile
from pathlib import Path

from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.encoders import Encoder
from mmvid.published.videogpt import export_checkpoint
from mmvid.runs import Command, Run, RunConfig, Task
from steps.train_vqvae import encoder_of


class ExportConfig(Options):
    """The encoder."""

    model: str = option("models:/mmvid-videogpt@candidate", "a run's id or models:/...", decides=False)


def main(argv: list[str]) -> None:
    config, control = parse(argv, ExportConfig, RunConfig, about=__doc__)
    with Command() as command:
        package = encoder_of(config.model)
        task = Task(
            "export_videogpt",
            {},
            {"encoder": package.key},
            ("mmvid.published.videogpt",),
            name=f"export {package.name} of {package.origin}",
        )

        def compute(run: Run) -> None:
            run.params({"model": config.model, "encoder": package.name})
            log_published(run, package.model)

        finished = command.find_or_run(task, compute, force=control.force, own=True)
    print(f"{package.name} in the published format: artifacts below published\nrun {finished.id}")


def log_published(run: Run, model: Encoder) -> None:
    """Logs an encoder's files in the published format."""
    with tempfile.TemporaryDirectory() as folder:
        for file in export_checkpoint(model, Path(folder)):
            with run.file(f"published/{file.name}") as place:
                shutil.copyfile(file, place)


if __name__ == "__main__":
    run_command(main)
