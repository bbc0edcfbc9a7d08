"""A tabletop and its motion: an arm hanging over the far edge goes to blocks and pushes them.

The table lies in z = 0, x to the right and y towards the watcher, both from -1 to 1; lengths are in half tables.
All numbers come from sums, products, quotients and square roots, which round alike on every machine.

The first frame tells which block is next with three chances of four (the nearest one), and where it will be pushed to
(over the middle of the table), but neither the speed nor the later blocks: as in BAIR, prediction is partly possible.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from mmvid.draws import Draws

HAND_RADIUS = 0.10
LOW, HIGH = 0.10, 0.42  # heights of the hand: where it pushes, and where it passes above blocks
EDGE = 0.85  # blocks and hand stay within it

_LINK = 1.05  # length of each of the two links
_REPEAT = 2  # steps that a command lasts, as in BAIR
_STEPS = 1 << 20


@dataclasses.dataclass
class Block:
    """A box that stands on the table.

    Attributes:
        place: (x, y) of its middle.
        half: half of its sides, (x, y, z) in its own axes.
        turn: cosine and sine of its turn about the vertical.
        colour: RGB, 0 to 255.
    """

    place: np.ndarray
    half: np.ndarray
    turn: np.ndarray
    colour: np.ndarray

    @property
    def reach(self) -> float:
        """The radius of the disc that it is pushed as."""
        return float(self.half[0] + self.half[1]) * 0.55


@dataclasses.dataclass(frozen=True)
class Moment:
    """The scene at one step.

    Attributes:
        joints: shoulder, elbow, wrist and hand, (4, 3).
        opening: half the distance of the fingers.
        blocks: the blocks; they are moved on, so a moment is to be drawn before the next is asked for.
        passer: (x, y) of who walks behind the table.
        action: the command that leads to the next step: speed in x, y, z, and 1 where the hand closes, float32 (4,).
    """

    joints: np.ndarray
    opening: float
    blocks: list[Block]
    passer: np.ndarray
    action: np.ndarray

    @property
    def hand(self) -> np.ndarray:
        """The position that is recorded, float32 (3,)."""
        return self.joints[3].astype(np.float32)


def uniform(draws: Draws, low: float, high: float) -> float:
    """A number from `low` to below `high`."""
    return low + (high - low) * (draws.below(_STEPS) / _STEPS)


def play(draws: Draws, steps: int, blocks: int) -> Iterator[Moment]:
    """The moments of one trajectory."""
    boxes = _lay(draws, blocks)
    shoulder = np.array((uniform(draws, -0.5, 0.5), -1.35, 0.75))
    place = np.array((uniform(draws, -0.75, 0.75), uniform(draws, -0.5, 0.7), HIGH))
    speed = np.zeros(3)
    passer = np.array((uniform(draws, -1.6, 1.6), -1.75))
    pace = uniform(draws, 0.03, 0.09) * (1 if draws.chance(500) else -1)
    plan, command = _Plan(draws, boxes), np.zeros(3)
    for step in range(steps):
        if step % _REPEAT == 0:
            command = plan.command(place)
        closed = float(plan.pushing)
        action = np.array((*command, closed), np.float32)
        yield Moment(_joints(shoulder, place), 0.075 - 0.035 * closed, boxes, passer.copy(), action)
        speed = speed + (command - speed) * 0.6
        place = place + speed
        place[:2] = place[:2].clip(-EDGE, EDGE)
        place[2] = min(max(place[2], LOW), HIGH)
        _push(boxes, place)
        passer[0] += pace
        if abs(passer[0]) > 2.0:
            pace = -pace


class _Plan:
    """Where the hand goes: above a block's far side, down, and across the table, then to the next block."""

    def __init__(self, draws: Draws, blocks: list[Block]):
        self._draws, self._blocks = draws, blocks
        self.pushing = False
        self._goal: np.ndarray | None = None
        self._end = np.zeros(2)
        self._pace = 0.1

    def command(self, place: np.ndarray) -> np.ndarray:
        """The speed that the hand is told, (3,)."""
        if self._goal is None or _length(self._goal - place[:2]) < 0.12:
            self._next(place)
        away = self._goal - place[:2]
        distance = _length(away)
        shake = np.array((uniform(self._draws, -0.02, 0.02), uniform(self._draws, -0.02, 0.02)))
        flat = away / max(distance, 1e-6) * min(self._pace, distance) + shake
        height = LOW if self.pushing or distance < 0.3 else HIGH
        return np.array((*flat, (height - place[2]) * 0.6))

    def _next(self, place: np.ndarray) -> None:
        """A new aim: after one is reached that leads to a block, the push; else another block."""
        self._pace = uniform(self._draws, 0.08, 0.17)
        if self._goal is not None and not self.pushing:
            self.pushing, self._goal = True, self._end
            return
        self.pushing = False
        if not self._blocks:
            self._end = np.array((uniform(self._draws, -EDGE, EDGE), uniform(self._draws, -EDGE, EDGE)))
            self._goal = self._end
            return
        nearest = min(self._blocks, key=lambda block: _length(block.place - place[:2]))
        block = nearest if self._draws.chance(750) else self._draws.pick(self._blocks)
        across = -block.place + np.array((uniform(self._draws, -0.2, 0.2), uniform(self._draws, -0.2, 0.2)))
        across = across / max(_length(across), 1e-6)
        self._goal = (block.place - across * (block.reach + HAND_RADIUS + 0.08)).clip(-EDGE, EDGE)
        self._end = (block.place + across * uniform(self._draws, 0.5, 1.0)).clip(-EDGE, EDGE)


def _lay(draws: Draws, count: int) -> list[Block]:
    """Blocks that do not touch, of different colours."""
    colours = [(62, 148, 72), (40, 92, 178), (232, 178, 44), (226, 112, 36), (126, 78, 158), (64, 178, 188)]
    draws.shuffle(colours)
    found: list[Block] = []
    for number in range(count):
        half = np.array([uniform(draws, low, high) for low, high in ((0.11, 0.2), (0.11, 0.2), (0.07, 0.14))])
        turn = np.array((uniform(draws, -1, 1), uniform(draws, -1, 1)))
        colour = np.array(colours[number % len(colours)], np.float64)
        block = Block(np.zeros(2), half, turn / max(_length(turn), 1e-6), colour)
        for _ in range(20):  # a crowded table may be left with blocks that touch; the first push parts them
            block.place = np.array((uniform(draws, -0.7, 0.7), uniform(draws, -0.55, 0.75)))
            if all(_length(other.place - block.place) > other.reach + block.reach for other in found):
                break
        found.append(block)
    return found


def _joints(shoulder: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Shoulder, elbow, wrist and hand: the elbow lies above the line from shoulder to wrist."""
    wrist = hand + np.array((0.0, -0.06, 0.34))
    line = wrist - shoulder
    distance = _length(line)
    over = np.array((0.45 if line[0] < 0 else -0.45, -0.3, 1.0))
    over = over - line * (float((over * line)[0] + (over * line)[1] + (over * line)[2]) / (distance * distance))
    rise = math.sqrt(max(_LINK * _LINK - distance * distance / 4, 0.01))
    return np.stack([shoulder, (shoulder + wrist) / 2 + over / _length(over) * rise * 0.6, wrist, hand])


def _push(blocks: list[Block], hand: np.ndarray) -> None:
    """Moves the blocks that the hand runs into, and those that these run into."""
    moved = []
    for block in blocks:
        away = block.place - hand[:2]
        need = block.reach + HAND_RADIUS
        distance = _length(away)
        if hand[2] < 2 * block.half[2] + 0.05 and distance < need:
            away = away / max(distance, 1e-6)
            block.place = (block.place + away * (need - distance)).clip(-EDGE, EDGE)
            _turn(block, (need - distance) * (0.6 if away[0] * block.turn[1] > away[1] * block.turn[0] else -0.6))
            moved.append(block)
    for block in moved:
        for other in blocks:
            away = other.place - block.place
            need, distance = other.reach + block.reach, _length(away)
            if other is not block and distance < need:
                other.place = (other.place + away / max(distance, 1e-6) * (need - distance)).clip(-EDGE, EDGE)
                _turn(other, need - distance)


def _turn(block: Block, angle: float) -> None:
    """Turns a block by a small angle."""
    cosine, sine = block.turn
    turned = np.array((cosine - angle * sine, sine + angle * cosine))
    block.turn = turned / _length(turned)


def _length(vector: np.ndarray) -> float:
    return math.sqrt(sum(float(part) * float(part) for part in vector))
