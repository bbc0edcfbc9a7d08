"""Ingest labelled pictures, an export of a labelling tool, into a store of frames and masks.

    mlflow run . -e ingest_masks -P masks=/data/vpt_vlr -P categories=robot --env-manager local
    python -m steps.ingest_masks --masks /data/vpt_vlr --categories robot,block
    python -m steps.ingest_masks --masks labels.json --frames /data/frames --trajectory '(traj_\\d+)'
    python -m steps.ingest_masks --masks /data/sawyer --mask_values robot=1,block=2+3 --without_mask skip

Reads  COCO (polygons, run lengths; Roboflow's folders too), Label Studio's JSON, or mask pictures beside pictures.
Logs   manifest.json, masks.json (what was left aside, empty masks, shares), clips/<split>, the data set's digest.
"""

from mmvid.config import parse
from mmvid.console import run_command
from mmvid.labelled import open_labelled
from mmvid.maskset import MasksConfig, open_masks
from mmvid.runs import Command, RunConfig


def main(argv: list[str]) -> None:
    config, control = parse(argv, MasksConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = open_masks(command, config, force=control.force, own=True)
    counts = ", ".join(f"{split} {store.count(split)}" for split in store.splits)
    print(f"store: {store.folder}\nclips: {counts}\ndigest: {store.digest}")
    for note, count in store.contents.notes.items():
        print(f"note: {note}: {count}")
    if store.contents.skipped.count:
        reasons = ", ".join(f"{reason} {count}" for reason, count in store.contents.skipped.reasons.items())
        print(f"skipped: {store.contents.skipped.count} ({reasons}), listed in {store.folder / 'manifest.json'}")
    labelled = open_labelled(store)
    for split, categories in labelled.census().items():
        shown = [
            f"{name} {100 * of['share']:.1f} % of the pixels, {of['empty']} empty" for name, of in categories.items()
        ]
        print(f"masks of {split} ({len(labelled.rows(split))} frames): {'; '.join(shown)}")
    if labelled.shared():
        print(f"{labelled.shared()} trajectories lie in more than one split: scores on them are flattered")


if __name__ == "__main__":
    run_command(main)
