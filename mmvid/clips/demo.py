"""Made clips: a robot's arm, drawn from above its table, pushes blocks; with the exact masks of arm and blocks.

Everything follows from the seed and is drawn in whole numbers, so the same seed gives the same bytes on every machine.
The arm hangs over the table's far edge, its hand swings with changing speed; a block that it reaches is pushed along.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmvid.clips.clip import Clip
from mmvid.clips.ingest import write_clips
from mmvid.clips.store import ClipStore
from mmvid.config import Options, option

CATEGORIES = ("robot", "block")
FINE = 4  # pixels drawn for each pixel of a frame, along each axis
UPPER, LOWER, HAND = 0.45, 0.40, 0.055  # lengths and the hand's radius, in widths of the picture
_COLOURS = ((196, 60, 50), (60, 110, 190), (220, 180, 60), (80, 160, 90), (150, 80, 160))


class DemoConfig(Options):
    """Made clips."""

    clips: int = option(400, "clips; a trajectory each", ge=10)
    clip_length: int = option(16, "frames of a clip", ge=2)
    side: int = option(64, "pixels of a frame's side", ge=16)
    blocks: int = option(3, "blocks on the table", ge=0)
    seed: int = option(0, "seed of everything", ge=0)


def make_clips(folder: Path, config: DemoConfig) -> ClipStore:
    """The store of demo clips in `folder`."""
    return write_clips(folder, draw_clips(config), name="demo", seed=config.seed, made=True)


def draw_clips(config: DemoConfig) -> Iterator[Clip]:
    """The clips one after another."""
    for number in range(config.clips):
        frames, masks, actions = draw_clip(np.random.default_rng([config.seed, number]), config)
        name = f"demo{number:05d}"
        yield Clip(name, name, "train", frames, actions=actions, masks=masks, categories=CATEGORIES)


def draw_clip(rng: np.random.Generator, config: DemoConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames uint8 (T, H, W, 3), masks bool (T, 2, H, W), and the changes of the arm's two angles, float32 (T, 2)."""
    size = config.side * FINE
    table = _table(rng, size)
    places = rng.uniform((0.15, 0.35), (0.85, 0.9), (config.blocks, 2))
    sizes = rng.uniform(0.05, 0.08, config.blocks)
    colours = [_COLOURS[kind] for kind in rng.permutation(len(_COLOURS))[: config.blocks]]
    base = rng.uniform(0.4, 0.6)
    side = rng.choice((-1, 1))  # where the arm starts; it sweeps to the other side, so one frame tells which way
    angles = side * rng.uniform((0.4, -0.3), (0.9, 0.6))
    speed = -side * rng.uniform((0.07, 0.0), (0.12, 0.06))
    frames, masks, actions = [], [], []
    for _ in range(config.clip_length):
        joints = _joints(base, angles)
        _push(places, sizes, joints[2])
        frame, mask = _draw(table, places, sizes, colours, joints, size)
        frames.append(frame)
        masks.append(mask)
        actions.append(speed.copy())
        angles = angles + speed
        speed = np.where(np.abs(angles) > 1.1, -np.sign(angles) * np.abs(speed), speed) + rng.normal(0, 0.012, 2)
    return np.stack(frames), np.stack(masks), np.array(actions, np.float32)


def _table(rng: np.random.Generator, size: int) -> Image.Image:
    """The empty table: a wooden colour, boards along the picture, light from one side."""
    boards = rng.integers(-9, 10, 8).repeat(size // 8 + 1)[:size]
    light = np.linspace(-10, 10, size) * rng.choice((-1, 1))
    shade = (boards[:, None] + light[None, :]).round().astype(np.int64)  # (H, W)
    colour = np.array((176, 150, 118)) + rng.integers(-6, 7, 3)
    return Image.fromarray((colour + shade[:, :, None]).clip(0, 255).astype(np.uint8))


def _joints(base: float, angles: np.ndarray) -> np.ndarray:
    """Shoulder, elbow and hand, (3, 2) in widths of the picture."""
    elbow = np.array((base + UPPER * math.sin(angles[0]), UPPER * math.cos(angles[0]) - 0.1))
    turn = angles[0] + angles[1]
    return np.stack([(base, -0.1), elbow, elbow + (LOWER * math.sin(turn), LOWER * math.cos(turn))])


def _push(places: np.ndarray, sizes: np.ndarray, hand: np.ndarray) -> None:
    """Moves the blocks that the hand reaches to where it just touches them."""
    for place, size in zip(places, sizes, strict=True):
        away = place - hand
        distance = max(1e-6, math.hypot(*away))
        if distance < HAND + size:
            place[:] = np.clip(hand + away / distance * (HAND + size), 0.0, 1.0)


def _draw(
    table: Image.Image,
    places: np.ndarray,
    sizes: np.ndarray,
    colours: list[tuple[int, int, int]],
    joints: np.ndarray,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """One frame and its masks: the table, shadows, blocks, and the arm above all of them."""
    picture, kinds = table.copy(), Image.new("L", (size, size))  # kinds: 1 robot, 2 block
    brush, marker = ImageDraw.Draw(picture), ImageDraw.Draw(kinds)

    def points(where: np.ndarray) -> list[int]:
        return np.rint(where * size).astype(int).flatten().tolist()

    def disc(draw: ImageDraw.ImageDraw, where: np.ndarray, radius: float, fill: int | tuple[int, int, int]) -> None:
        draw.ellipse(points(np.stack([where - radius, where + radius])), fill=fill)

    shadow = joints + (0.03, 0.04)
    for start, end, width in ((0, 1, 0.10), (1, 2, 0.07)):
        brush.line(points(shadow[[start, end]]), fill=(120, 100, 78), width=round(width * size))
    disc(brush, shadow[2], HAND, (120, 100, 78))
    for place, radius, colour in zip(places, sizes, colours, strict=True):
        corners = points(np.stack([place - radius, place + radius]))
        brush.rectangle(corners, fill=colour)
        marker.rectangle(corners, fill=2)
    for draw, fills in ((brush, ((50, 52, 58), (170, 30, 34), (30, 30, 32))), (marker, (1, 1, 1))):
        draw.line(points(joints[[0, 1]]), fill=fills[0], width=round(0.10 * size))
        draw.line(points(joints[[1, 2]]), fill=fills[1], width=round(0.07 * size))
        disc(draw, joints[1], 0.05, fills[0])
        disc(draw, joints[2], HAND, fills[2])
    blocks = np.asarray(picture, np.uint32).reshape(size // FINE, FINE, size // FINE, FINE, 3)
    frame = ((blocks.sum((1, 3)) + FINE * FINE // 2) // (FINE * FINE)).astype(np.uint8)
    marked = np.asarray(kinds).reshape(size // FINE, FINE, size // FINE, FINE)
    shares = [(marked == kind).sum((1, 3)) for kind in (1, 2)]
    return frame, np.stack([2 * share >= FINE * FINE for share in shares])
