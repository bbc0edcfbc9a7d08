"""Score a split, or TFRecords straight from their shards, by a trained model or an ensemble, and write a file.

    mlflow run . -e predict -P model=models:/mmvid-classifier@champion -P data=/data/yt8m -P schema=youtube8m
    python -m steps.predict --model 4f0c... --shards 's3://yt8m/test*.tfrecord' --format csv --output submission.csv

Reads  the model, and the data set at --data (ingested first if it is not yet) or the TFRecords of --shards, which need
       no ingest: their records must be of the model's own kind.
Writes --output: Parquet (id, classes, scores), the challenge's CSV (`VideoId,LabelConfidencePairs`), or the CSV of
       segments (`Class,Segments`, 2019; with --shards). The same command goes on with what a killed one left.
Logs   videos, seconds, videos_per_second, the place and digest of the file.
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmvid import ensemble_serving, ensembling
from mmvid.bulk import files
from mmvid.bulk.files import KEPT, Format
from mmvid.bulk.parts import Parts
from mmvid.bulk.sources import Shards, Source, StoreSplit
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.ensemble_package import EnsemblePackage
from mmvid.manifests import digest_of
from mmvid.packaging import Package
from mmvid.records.store import Store
from mmvid.registry import versions
from mmvid.runs import Command, Finished, Task

SECONDS = 30  # between lines that tell how far it is, where there is no terminal


class PredictConfig(Options):
    """Scoring."""

    model: str = option("", "id of a run, models:/name/version or models:/name@alias")
    split: str = option("validate", "split of the data set that is scored")
    shards: str = option("", "TFRecords to score instead: file, folder, pattern, s3://bucket/..., or a list of such")
    output: str = option("predictions.parquet", "the file that is written", min_length=1)
    format: Format = option("parquet", "Parquet, the challenge's CSV of videos, or its CSV of segments (2019)")
    top_k: int = option(0, "best classes written of each video; 0: 100 (parquet), 20 (csv), 1000 (segments)", ge=0)
    segment_classes: str = option("", "CSV whose first column has the classes of a file of segments; none: all")


def main(argv: list[str]) -> None:
    config, data = parse(argv, PredictConfig, DataConfig, about=__doc__)
    if not config.model:
        raise ValueError("model must be given: the id of a run, or models:/name@alias")
    output = Path(config.output).absolute()
    if not output.parent.is_dir():
        raise ValueError(f"output must be in a folder that is there, {output.parent} is not")
    if output.is_dir():
        raise ValueError(f"output must be a file, {output} is a folder")
    task = Task("predict", config.model_dump(mode="json"), {}, ("mmvid.bulk.sources",), f"predict to {output.name}")
    with Command() as command, command.start(task, own=True) as run:
        trained = ensembling.run_of(config.model)
        package = ensemble_serving.load_logged(versions.model_uri(trained))
        classes = segment_classes(config.segment_classes, len(package.labels))
        check_format(config, package)
        source = source_of(command, config, data, trained, package, classes)
        started = time.monotonic()
        count = score(source, package, output, config, classes)
        seconds = time.monotonic() - started
        run.report({"videos": float(count), "seconds": seconds, "videos_per_second": count / seconds})
        digest = digest_of(output)
        run.tags({"mmvid.predictions": output, "mmvid.predictions.digest": digest, "mmvid.predicted_by": trained.id})
    rows = "videos" if package.schema.segments is None else "segments"
    print(f"{output}: {count} {rows} scored by {package.name} (run {trained.id}) in {seconds:.1f} s")


def check_format(config: PredictConfig, package: Package | EnsemblePackage) -> None:
    """Raises ValueError if the file cannot hold what the model scores, before hours are spent on it."""
    if package.schema.segments is None and config.format == "segments":
        raise ValueError(f"format must be parquet or csv for {package.name}: it scores whole videos, no segments")
    if package.schema.segments is not None and config.format == "csv":
        raise ValueError(f"format must be parquet or segments for {package.name}: csv has one line a video")
    if package.schema.segments is not None and not config.shards:
        raise ValueError(f"shards must be given for {package.name}: a store does not keep when segments begin")


def source_of(
    command: Command,
    config: PredictConfig,
    data: DataConfig,
    trained: Finished,
    package: Package | EnsemblePackage,
    classes: np.ndarray,
) -> Source:
    """What is scored; `classes` are those of a file of segments.

    Raises:
        ValueError: if there is none, or the model cannot read it.
    """
    members = package.members if isinstance(package, EnsemblePackage) else [package]
    if config.shards:
        given = set(package.schema.features)
        readers = [each.name for each in members if each.model.reads_text or set(each.model.modalities) - given]
        if readers:
            sys.stderr.write(f"predict: shards have no titles and keywords, which {', '.join(readers)} would read\n")
        return Shards(package, config.shards, classes if config.format == "segments" else None)
    opened = open_dataset(command, data, frames=any(member.model.reads_frames for member in members))
    store = with_features(opened, trained)
    words = ensembling.words_of(package, trained, store)
    for member in members:
        if not member.model.reads_text and (found := member.obstacle(store)) is not None:
            raise ValueError(f"{member.name} cannot score {store.folder}: {found}")
    return StoreSplit(package, store, config.split, words)


def with_features(store: Store, trained: Finished) -> Store:
    """The data set with the features of its titles and keywords that a model was trained on, where it was on these."""
    try:
        own = Store.open(trained.tags.get("mmvid.data.store", ""))
    except (ValueError, OSError):  # gone: what the model lacks is told
        return store
    return own if own.base.digest == store.digest else store


def score(
    source: Source, package: Package | EnsemblePackage, output: Path, config: PredictConfig, classes: np.ndarray
) -> int:
    """Scores everything in parts, makes one file of them, and returns how many videos or segments it has."""
    kept = min(config.top_k or KEPT[config.format], len(package.labels))
    parts = Parts(output)
    plan = {"model": package.key, "kept": kept, **source.plan}
    with parts.claimed(plan):
        done, told = 0, time.monotonic()
        shown = sys.stderr.isatty()
        with tqdm(desc="predict", total=source.total, unit="video", disable=not shown) as bar:
            for more in source.score(parts, kept):
                done += more
                bar.update(more)
                if not shown and time.monotonic() - told > SECONDS:
                    sys.stderr.write(f"predict: {done} of {source.total or 'unknown'} videos\n")
                    told = time.monotonic()
        facts = {"mmvid.key": package.key, "mmvid.num_classes": str(len(package.labels))}
        return files.write(parts.read(), output, config.format, facts, classes)


def segment_classes(place: str, count: int) -> np.ndarray:
    """The classes that a file of segments has lines for, ascending.

    Args:
        place: a CSV file with a header, such as YouTube-8M's segment_label_ids.csv; none means all classes.
        count: C.

    Raises:
        ValueError: if a line is no class of the model. OSError: if the file cannot be read.
    """
    if not place:
        return np.arange(count)
    with open(place, encoding="utf-8", newline="") as file:
        words = [row[0] for row in csv.reader(file) if row][1:]
    wrong = next((word for word in words if not word.isdigit() or int(word) >= count), None)
    if wrong is not None or not words:
        raise ValueError(f"{place} must have a header and classes from 0 to {count - 1}, got {wrong!r}")
    return np.unique(np.array(words, np.int64))


if __name__ == "__main__":
    run_command(main)
