"""Made demo clips: an arm pushes blocks over a table, in BAIR's format, with the exact masks of arm and blocks.

    softmotion30_44k/{train,test}/traj_0_to_255.tfrecords    records as BAIR's (see `readers.bair`), masks beside frames

They are ingested like the real ones, so that the whole real path is used without a download. A trajectory is a pure
function of the seed and its number: equal configs make equal bytes, whichever process makes them.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from mmvid.clips.ingest import ingest
from mmvid.clips.made.rendering import CATEGORIES, Painter
from mmvid.clips.made.scene import play
from mmvid.clips.readers.bair import CAMERAS
from mmvid.clips.sources import ReadOptions
from mmvid.clips.store import ClipStore
from mmvid.clips.writing import pack_masks
from mmvid.config import Options, option
from mmvid.draws import Draws
from mmvid.durable import exclusively, replacing
from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import write_records

GENERATOR = 1  # to be raised when the same config makes other bytes: older data are then made anew

_NOTE = "demo.json"
_FORMAT = "mmvid demo clips (made)"
_FOLDER = "softmotion30_44k"
_OF_A_FILE = 256  # trajectories, as BAIR has them
_TEST_SHARE = 10  # of a hundred
_TELL_SECONDS = 30


class DemoConfig(Options):
    """Made clips."""

    clips: int = option(300, "trajectories, a tenth of them test", ge=10, le=1_000_000)
    clip_length: int = option(30, "frames of each", ge=2, le=1000)
    side: int = option(64, "pixels of a frame's side", ge=16, le=256)
    blocks: int = option(3, "blocks on the table", ge=0, le=6)
    cameras: Literal["main", "aux1", "both"] = option("main", "above the table, before it, or both")
    seed: int = option(0, "seed of everything", ge=0)


def make_clips(folder: Path, config: DemoConfig) -> ClipStore:
    """The store of the demo clips in `folder`; their records lie in `<folder>.made`, made now if they are not there."""
    records = make_records(folder.with_name(f"{folder.name}.made"), config)
    return ingest(str(records), folder, options=ReadOptions(camera=config.cameras), seed=config.seed, made=True)


def make_records(folder: Path, config: DemoConfig, *, progress: bool = True) -> Path:
    """The folder of the records below `folder`, made if this config's are not there: all of them or nothing.

    Raises:
        ValueError: if `folder` holds something else than demo clips, which stays as it is.
    """
    wanted = {"format": _FORMAT, "generator": GENERATOR, "config": config.model_dump()}
    with exclusively(folder.with_name(f".{folder.name}.lock"), f"another process makes {folder}; waiting for it"):
        note = _read_note(folder)
        if note == wanted:
            return folder / _FOLDER
        if folder.exists() and (note is None or note.get("format") != _FORMAT):
            raise ValueError(f"{folder} must be absent or demo clips, it holds something else")
        fresh = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _write(fresh / _FOLDER, config, progress)
            with replacing(fresh / _NOTE) as path:
                path.write_text(json.dumps(wanted, indent=1))
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder / _FOLDER


def draw_trajectory(config: DemoConfig, number: int) -> dict[str, list[bytes] | np.ndarray]:
    """The features of one record, in BAIR's names."""
    cameras = CAMERAS if config.cameras == "both" else (config.cameras,)
    painters = {
        camera: Painter(Draws(config.seed, "looks of a made clip", number), camera, config.side) for camera in cameras
    }
    features: dict[str, list[bytes] | np.ndarray] = {}
    motion = play(Draws(config.seed, "motion of a made clip", number), config.clip_length, config.blocks)
    for step, moment in enumerate(motion):
        for camera, painter in painters.items():
            frame, masks = painter.draw(moment)
            features[f"{step}/image_{camera}/encoded"] = [frame.tobytes()]
            for category, mask in zip(CATEGORIES, masks, strict=True):
                features[f"{step}/image_{camera}/mask/{category}"] = [pack_masks(mask).tobytes()]
        features[f"{step}/action"] = moment.action
        features[f"{step}/endeffector_pos"] = moment.hand
    return features


def _write(folder: Path, config: DemoConfig, progress: bool) -> None:
    test = max(1, config.clips * _TEST_SHARE // 100)
    numbers = {"train": range(config.clips - test), "test": range(config.clips - test, config.clips)}
    terminal, told = sys.stderr.isatty(), time.monotonic()
    with tqdm(desc="draw clips", total=config.clips, disable=not (progress and terminal)) as bar:

        def records(part: range) -> Iterator[bytes]:
            nonlocal told
            for number in part:
                yield encode_example(draw_trajectory(config, number))
                bar.update()
                if progress and not terminal and time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    sys.stderr.write(f"draw clips: {split} {number - own.start + 1} of {len(own)}\n")

        for split, own in numbers.items():
            (folder / split).mkdir(parents=True)
            for first in range(0, len(own), _OF_A_FILE):
                part = own[first : first + _OF_A_FILE]
                name = f"traj_{first}_to_{first + len(part) - 1}.tfrecords"
                write_records(folder / split / name, records(part))


def _read_note(folder: Path) -> dict | None:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None
