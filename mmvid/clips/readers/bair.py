"""BAIR robot pushing (Ebert et al. 2017), TFRecords as published in `softmotion30_44k/{train,test}`.

A record is one trajectory. Of frame t, counted from 0, it has the features

    {t}/image_main/encoded, {t}/image_aux1/encoded    raw RGB bytes in spite of the name, 64 * 64 * 3
    {t}/action (4 floats), {t}/endeffector_pos (3 floats)

and, in our demo data only, `{t}/image_aux1/mask/robot`, the bits of a mask, one feature a category.
"""

import math
import re
from collections.abc import Iterator
from itertools import count

import numpy as np

from mmvid.clips.clip import Clip
from mmvid.clips.sources import BadClip, Located, Piece, ReadOptions, Report
from mmvid.clips.writing import unpack_masks
from mmvid.tfrecords import values
from mmvid.tfrecords.example import Record, parse
from mmvid.tfrecords.framing import CorruptRecord, read_records
from mmvid.tfrecords.wire import MalformedExample

ENDINGS = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
CAMERAS = ("main", "aux1")

_MASK = re.compile(r"0/image_(\w+)/mask/(.+)")


def pieces(located: list[Located]) -> list[Piece]:
    """One piece a file."""
    return [Piece((each.file,), f"{each.split}/{each.file.name.split('.')[0]}", each.split) for each in located]


def read(piece: Piece, options: ReadOptions, report: Report) -> Iterator[Clip]:
    """The trajectories of a file, one clip for each camera that is asked for.

    Faults name the file and the byte at which the record begins. After damage to a record's length no later one can be
    found.
    """
    damaged: list[CorruptRecord] = []
    number = count()

    def note(error: CorruptRecord) -> None:
        damaged.append(error)
        next(number)  # so that the trajectories after it keep their numbers

    for offset, payload in read_records(piece.file, note):
        while damaged:
            report(_corrupt(damaged.pop(0)))
        trajectory = f"{piece.name}#{next(number)}"
        try:
            clips = list(_clips(parse(payload), trajectory, piece.split, options))
        except (MalformedExample, _Unlike) as error:
            report(BadClip(piece.file, _reason(error), f"{piece.file}: record at byte {offset}: {error}"))
        else:
            yield from clips
    for error in damaged:
        report(_corrupt(error))


class _Unlike(ValueError):
    """A record that is none of BAIR's."""


def _reason(error: ValueError) -> str:
    return "malformed" if isinstance(error, MalformedExample) else "not of BAIR"


def _corrupt(error: CorruptRecord) -> BadClip:
    return BadClip(error.path, error.reason, str(error))


def _clips(record: Record, trajectory: str, split: str, options: ReadOptions) -> Iterator[Clip]:
    there = [camera for camera in CAMERAS if f"0/image_{camera}/encoded" in record.context]
    if not there:
        raise _Unlike(f"it has no feature 0/image_aux1/encoded or 0/image_main/encoded, {_named(record)}")
    wanted = list(CAMERAS) if options.camera == "both" else [options.camera]
    if options.camera == "auto":
        wanted = ["aux1"] if "aux1" in there else there
    actions, positions = _floats(record, "action"), _floats(record, "endeffector_pos")
    for camera in wanted:
        if camera not in there:
            raise _Unlike(f"it has no camera {camera}, only {', '.join(there)}")
        frames = _frames(record, camera)
        for name, found in (("action", actions), ("endeffector_pos", positions)):
            if found is not None and len(found) != len(frames):
                raise _Unlike(f"it has {len(frames)} frames of {camera} and {len(found)} of {name}")
        categories, masks = _masks(record, camera, frames.shape)
        yield Clip(
            id=f"{trajectory}/{camera}" if options.camera == "both" else trajectory,
            trajectory=trajectory,
            split=split,
            frames=frames,
            camera=camera,
            actions=actions,
            positions=positions,
            masks=masks,
            categories=categories,
        )


def _frames(record: Record, camera: str) -> np.ndarray:
    """The frames of a camera, uint8 (T, S, S, 3)."""
    encoded = _steps(record, f"image_{camera}/encoded")
    size = len(encoded[0])
    side = math.isqrt(size // 3)
    if not side or side * side * 3 != size:
        raise _Unlike(f"frame 0 of {camera} must be the raw RGB bytes of a square, got {size} bytes")
    for step, content in enumerate(encoded):
        if len(content) != size:
            raise _Unlike(f"frame {step} of {camera} must have {size} bytes as frame 0, got {len(content)}")
    return np.frombuffer(b"".join(encoded), np.uint8).reshape(len(encoded), side, side, 3)


def _masks(record: Record, camera: str, shape: tuple[int, ...]) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The categories of a camera's masks, and the masks, bool (T, K, H, W)."""
    found = (match.groups() for match in map(_MASK.fullmatch, record.context) if match)
    categories = tuple(category for of, category in found if of == camera)
    steps, height, width, _ = shape
    packed = [_steps(record, f"image_{camera}/mask/{category}") for category in categories]
    for category, masks in zip(categories, packed, strict=True):
        if len(masks) != steps or {len(mask) for mask in masks} != {-(-height * width // 8)}:
            raise _Unlike(f"the masks of {category} must be {steps} of {height} x {width} bits")
    if not categories:
        return (), None
    bits = np.stack([np.frombuffer(b"".join(masks), np.uint8).reshape(steps, -1) for masks in packed], axis=1)
    return categories, unpack_masks(bits, height, width)


def _steps(record: Record, name: str) -> list[bytes]:
    """The byte strings of a feature of every frame, from frame 0 to the last that has it."""
    found: list[bytes] = []
    while (place := record.context.get(f"{len(found)}/{name}")) is not None:
        held = values.read_bytes(record.data, place)
        if len(held) != 1:
            raise _Unlike(f"{len(found)}/{name} must hold one byte string, got {len(held)}")
        found += held
    _check_whole(record, name, len(found))
    return found


def _floats(record: Record, name: str) -> np.ndarray | None:
    """A feature of every frame, float32 (T, D), or None where frame 0 lacks it."""
    found: list[np.ndarray] = []
    while (place := record.context.get(f"{len(found)}/{name}")) is not None:
        found.append(values.read_floats(record.data, place))
        if len(found[-1]) != len(found[0]):
            raise _Unlike(f"{len(found) - 1}/{name} must have {len(found[0])} numbers, got {len(found[-1])}")
    _check_whole(record, name, len(found))
    return np.stack(found) if found and len(found[0]) else None


def _check_whole(record: Record, name: str, steps: int) -> None:
    """A frame that is missing in the middle must not shorten the clip in silence."""
    there = sum(key.endswith(f"/{name}") and key.removesuffix(f"/{name}").isdigit() for key in record.context)
    if there != steps:
        raise _Unlike(f"it has {there} of {name}, but none of frame {steps}")


def _named(record: Record) -> str:
    names = sorted(record.context)
    return f"its first features are {', '.join(names[:3])}" if names else "it has no features"
