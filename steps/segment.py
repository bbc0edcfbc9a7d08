"""Segment the pictures of a folder, or a video: a mask and an overlay of each.

    mlflow run . -e segment --env-manager local -P input=frames -P model=models:/mmvid-segmenter@champion
    python -m steps.segment --input push.mp4 --output masks --threshold 0.4

Reads  the pictures of the folder --input (or one picture, or a video), the segmenter at --model.
Writes to --output <name>_mask.png and <name>_overlay.png for each picture, or <name>_mask.mkv (without loss) and
       <name>_overlay.mp4, and segments.csv with the confidence and the share of each mask.
Logs   segments.csv, the first overlays as images, how many pictures, their masks' mean share and confidence.
"""

import csv
import sys
import time
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from mmvid import segmentation_serving
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.durable import replacing
from mmvid.registry.versions import model_uri
from mmvid.runs import Command, Run, Task, load_run
from mmvid.segmentation.experiment import fastest_device
from mmvid.segmentation.footage import Footage, find_footage, segment
from mmvid.segmentation.package import SegmenterPackage

SHOWN = 8  # overlays that are logged as images
TELL_SECONDS = 30


class SegmentFilesConfig(Options):
    """Segmentation of files."""

    input: str = option("", "a folder of pictures, a picture, or a video")
    model: str = option("models:/mmvid-segmenter@champion", "models:/..., or the id of the run that trained it")
    output: str = option("", "the folder that is written to; none: `masks of` the input's name, here")
    threshold: float | None = option(
        None, "probability from which on a pixel is in the mask; none: the model's", gt=0, lt=1
    )
    on_unreadable: Literal["stop", "skip"] = option(
        "stop", "a picture that cannot be read stops, or is skipped and counted"
    )


PARTS = (SegmentFilesConfig,)


def main(argv: list[str]) -> None:
    (config,) = parse(argv, *PARTS, about=__doc__)
    if not config.input:
        raise ValueError("input must be given: a folder of pictures, a picture, or a video")
    footage = find_footage(config.input)
    output = Path(config.output or f"masks of {Path(config.input).resolve().stem}")
    if output.resolve() == Path(config.input).resolve():
        raise ValueError(f"output must be another folder than input, whose pictures the masks would join, got {output}")
    task = Task("segment", config.model_dump(), {}, ("steps.segment",), name=f"segment {Path(config.input).name}")
    with Command() as command:
        uri = config.model if config.model.startswith("models:/") else model_uri(load_run(config.model))
        package = segmentation_serving.load_logged(uri).to(fastest_device())
        with command.start(task, own=True) as run:
            told = write_masks(run, package, footage, output, config)
    print(f"{told} in {output}\nrun {run.id}")


def write_masks(run: Run, package: SegmenterPackage, footage: Footage, output: Path, config: SegmentFilesConfig) -> str:
    """Writes all masks and tells the run; one line for people."""
    threshold = package.threshold if config.threshold is None else config.threshold
    skipped: list[str] = []
    listen = None if config.on_unreadable == "stop" else skipped.append
    started = told = time.monotonic()
    count, share, confidence, total = 0, 0.0, 0.0, footage.count
    with tqdm(total=total, desc="segment", unit="picture", disable=not sys.stderr.isatty()) as bar:
        with run.file("segments.csv") as listed, listed.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "confidence", "share"])
            for found in segment(package, footage, output, threshold, listen):
                writer.writerow([found.name, f"{found.confidence:.4f}", f"{found.share:.6f}"])
                if count < SHOWN:
                    run.image("overlay", found.overlay, count)
                count, share, confidence = count + 1, share + found.share, confidence + found.confidence
                bar.update()
                if bar.disable and time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    sys.stderr.write(f"segment: {count} of {total or 'unknown'}\n")
            file.flush()
            with replacing(output / "segments.csv") as path:
                path.write_bytes(listed.read_bytes())
    for sentence in skipped:
        sys.stderr.write(f"skipped: {sentence}\n")
    metrics = {"pictures": float(count), "skipped": float(len(skipped)), "seconds": time.monotonic() - started}
    if count:
        metrics |= {"share": share / count, "confidence": confidence / count}
    run.report(metrics)
    run.tags({"mmvid.model.key": package.key})
    left_out = f", {len(skipped)} skipped" if skipped else ""
    return f"{count} masks of {', '.join(package.target)}{left_out}"


if __name__ == "__main__":
    run_command(main)
