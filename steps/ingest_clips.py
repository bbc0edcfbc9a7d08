"""Ingest clips in any published format into a store of memory-mapped frames.

    mlflow run . -e ingest_clips -P data=/data/softmotion30_44k --env-manager local
    python -m steps.ingest_clips --data /data/softmotion30_44k
    python -m steps.ingest_clips --data s3://videos/ucf101 --clip_resolution 128 --clip_frames 64 --on_error skip

Reads  BAIR's TFRecords, VideoGPT's HDF5, episodes in npz, videos, or folders of pictures, by split.
Logs   manifest.json, clips/<split>, clips/skipped, the data set's digest.
"""

from mmvid.clipset import ClipsConfig, open_clips
from mmvid.config import parse
from mmvid.console import run_command
from mmvid.runs import Command, RunConfig


def main(argv: list[str]) -> None:
    config, control = parse(argv, ClipsConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = open_clips(command, config, force=control.force, own=True)
    counts = ", ".join(f"{split} {store.count(split)}" for split in store.splits)
    print(f"store: {store.folder}\nclips: {counts}\ndigest: {store.digest}")
    if store.contents.skipped.count:
        reasons = ", ".join(f"{reason} {count}" for reason, count in store.contents.skipped.reasons.items())
        print(f"skipped: {store.contents.skipped.count} ({reasons}), listed in {store.folder / 'manifest.json'}")


if __name__ == "__main__":
    run_command(main)
