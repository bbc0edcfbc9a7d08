"""Ids must be distinct over all shards of a data set; held against 8 bytes a video."""

import numpy as np

from mmvid.records.conversion import Task, hashes_path, named_videos
from mmvid.records.splits import hash64


def check_distinct(tasks: list[Task]) -> None:
    """Raises if an id comes twice.

    Raises:
        ValueError: names the id and its two places.
    """
    hashes = np.concatenate([np.fromfile(hashes_path(task), "<u8") for task in tasks])
    hashes.sort()
    doubled = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if not doubled:
        return
    places: dict[str, str] = {}  # two ids may share a hash: only equal ids count
    for task in tasks:
        if doubled.isdisjoint(np.fromfile(hashes_path(task), "<u8").tolist()):
            continue
        for row, id in named_videos(task):
            if hash64(id) not in doubled:
                continue
            place = f"{task.source} (record {row})"
            if id in places:
                raise ValueError(f"video {id!r} comes twice: in {places[id]} and in {place}; ids must be distinct")
            places[id] = place
