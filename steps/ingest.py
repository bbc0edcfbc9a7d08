"""Ingest TFRecords into a store of memory-mapped Arrow files.

    mlflow run . -e ingest -P data=/data/yt8m -P schema=youtube8m
    python -m steps.ingest --data /data/yt8m --schema youtube8m
    python -m steps.ingest --data s3://videos/yt8m --schema youtube8m --workers 2

Reads  train*, validate*, test* (and dev*) shards of --data, text.jsonl and the labels' names beside them.
Logs   manifest.json, videos/<split>, records/skipped, the data set's digest.
"""

from mmvid.config import parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.runs import Command, RunConfig


def main(argv: list[str]) -> None:
    config, control = parse(argv, DataConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = open_dataset(command, config, force=control.force, own=True)
    counts = ", ".join(f"{split} {store.count(split)}" for split in store.splits)
    print(f"store: {store.folder}\nvideos: {counts}\ndigest: {store.digest}")
    if store.contents.skipped.count:
        reasons = ", ".join(f"{reason} {count}" for reason, count in store.contents.skipped.reasons.items())
        print(f"skipped: {store.contents.skipped.count} ({reasons}), listed in {store.folder / 'manifest.json'}")


if __name__ == "__main__":
    run_command(main)
