"""Pictures of a scene by a camera, with the exact masks of what is seen.

For every point of a grid finer than the pixels, the nearest surface is kept with its depth: the table, boxes by their
faces' planes, links as swept spheres. A lamp throws shadows onto table and boxes. The same depth decides what is seen
and what the masks show, so that they agree; a pixel's colour is the mean of its points, its mask what half of them are.
"""

import dataclasses

import numpy as np

from mmvid.clips.made.scene import Block, Moment, uniform
from mmvid.draws import Draws

TABLE, ROBOT, BLOCK, BEHIND = range(4)
CATEGORIES = {"robot": ROBOT, "block": BLOCK}
VIEWS = {  # eye, the point that is looked at, and how much is seen: tangent of half the angle
    "main": ((0.0, 0.95, 2.35), (0.0, -0.14, 0.0), 0.47),
    "aux1": ((0.25, 2.25, 1.25), (0.0, -0.05, 0.1), 0.52),
}

_FINE = 2  # points for a pixel, along each axis
_RED, _BLACK, _WHITE = (158.0, 26.0, 48.0), (34.0, 32.0, 36.0), (196.0, 190.0, 184.0)
_SHADE = 0.58


@dataclasses.dataclass(frozen=True)
class Link:
    """A swept sphere from one point to another, with bands of colour along it."""

    start: np.ndarray
    end: np.ndarray
    radii: tuple[float, float]
    bands: tuple[tuple[float, tuple[float, float, float]], ...]  # up to this part of its length, this colour
    kind: int = ROBOT


class Painter:
    """Draws the moments of one trajectory as one camera sees them; what does not move is drawn once."""

    def __init__(self, draws: Draws, camera: str, side: int):
        """
        Args:
            draws: of the looks: table, lamp, floor, and who walks behind; the same for every camera of a trajectory.
            camera: a name of `VIEWS`.
            side: pixels of a side.
        """
        self.side = side
        eye, aim, self._half = VIEWS[camera]
        self._eye = np.array(eye)
        self._ahead = _unit(np.array(aim) - self._eye)
        self._right = _unit(_cross(self._ahead, np.array((0.0, 0.0, 1.0))))
        self._up = _cross(self._right, self._ahead)
        points = side * _FINE
        self._steps = (np.arange(points) + 0.5) * (2 * self._half / points) - self._half  # on a plane one ahead
        self._rays = [
            self._ahead[axis] + self._right[axis] * self._steps[None, :] - self._up[axis] * self._steps[:, None]
            for axis in range(3)
        ]
        self._lamp = np.array((uniform(draws, -0.6, 0.6), uniform(draws, -0.7, -0.1), 1.0))
        self._coat = np.array([uniform(draws, 40, 200) for _ in range(3)])
        self._empty = self._draw_room(draws)

    def draw(self, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        """The picture, uint8 (S, S, 3), and masks, bool (2, S, S), in the order of `CATEGORIES`."""
        self._depth, self._colour, self._kind, self._spot = (part.copy() for part in self._empty)
        self._height = np.zeros_like(self._depth)
        for block in moment.blocks:
            self._add_box(block)
        arm = _arm(moment)
        self._darken(moment.blocks, arm)
        x, y = moment.passer
        coat = ((1.0, tuple(self._coat.tolist())),)
        self._add_link(Link(np.array((x, y, -0.7)), np.array((x, y, 0.35)), (0.28, 0.22), coat, BEHIND))
        for link in arm:
            self._add_link(link)
        fine = np.rint(self._colour.clip(0, 255)).astype(np.uint16)
        points = _FINE * _FINE
        frame = ((_summed(fine) + points // 2) // points).astype(np.uint8)
        masks = np.zeros((len(CATEGORIES), self.side, self.side), bool)
        for mask, kind in zip(masks, CATEGORIES.values(), strict=True):
            half = 2 * _summed((self._kind == kind).astype(np.uint8)) >= points
            mask[:] = half & ~masks.any(0)  # a pixel that is half the one and half the other is the first's
        return frame, masks

    def _draw_room(self, draws: Draws) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Depth, colour, kind of every point of the empty room, and what the lamp sees there in the table's plane."""
        wood = np.array([uniform(draws, low, high) for low, high in ((186, 216), (158, 184), (118, 146))])
        floor = uniform(draws, 84, 150) + np.array([uniform(draws, -14, 14) for _ in range(3)])
        grain = draws.integers(25, 96, 6).repeat(4, 1) - 12  # short streaks along x
        boards = draws.integers(21, 8) - 10
        x, y, depth = self._plane(0.0)
        on_table = (abs(x) < 1.12) & (abs(y) < 1.08) & (depth > 0)
        rows = ((y + 1.1) / 2.2 * 95).clip(0, 95).astype(np.int64)
        columns = ((x + 1.15) / 2.3 * 24).clip(0, 23).astype(np.int64)
        light = 1.0 - 0.08 * (x * self._lamp[0] + y * self._lamp[1]).clip(-1.5, 1.5)
        tint = (grain[rows, columns] + boards[rows // 12]).astype(np.float64)
        table = (wood + tint[..., None] * 0.7) * light[..., None]
        below_x, below_y, below = self._plane(-0.7)
        tiles = ((np.floor(below_x * 1.6) + np.floor(below_y * 1.6)) % 2) * 16.0
        colour = np.where(on_table[..., None], table, floor + tiles[..., None])
        kind = np.where(on_table, TABLE, BEHIND).astype(np.uint8)
        far = np.where(below > 0, below, 1e3)
        return np.where(on_table, depth, far), colour, kind, np.stack([x, y])

    def _plane(self, height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x and y of the points of a level plane that are seen, and their depth; not positive where there is none."""
        depth = (height - self._eye[2]) / self._rays[2]
        return self._eye[0] + depth * self._rays[0], self._eye[1] + depth * self._rays[1], depth

    def _add_box(self, block: Block) -> None:
        rows, columns = self._window(np.array((*block.place, block.half[2])), float(2 * block.half.max()))
        rays = [ray[rows, columns] for ray in self._rays]
        cosine, sine = block.turn
        axes = (np.array((cosine, sine, 0.0)), np.array((-sine, cosine, 0.0)), np.array((0.0, 0.0, 1.0)))
        middle = np.array((*block.place, block.half[2]))
        eye = [_dot(axis, self._eye - middle) for axis in axes]
        local = [axis[0] * rays[0] + axis[1] * rays[1] + axis[2] * rays[2] for axis in axes]
        for number, axis in enumerate(axes):
            if abs(eye[number]) <= block.half[number]:
                continue  # the eye is between the two faces and sees neither
            front = block.half[number] if eye[number] > 0 else -block.half[number]
            speed = np.where(abs(local[number]) < 1e-9, 1e-9, local[number])
            depth = (front - eye[number]) / speed
            hit = (depth > 0) & (depth < self._depth[rows, columns])
            for other in range(3):
                if other != number:
                    hit &= abs(eye[other] + depth * local[other]) <= block.half[other]
            lit = max(_dot(axis, self._lamp) * (1 if front > 0 else -1), 0.0)
            height = self._eye[2] + depth * rays[2]
            self._depth[rows, columns][hit] = depth[hit]
            self._colour[rows, columns][hit] = block.colour * (0.55 + 0.4 * lit)
            self._kind[rows, columns][hit] = BLOCK
            self._height[rows, columns][hit] = height[hit]
            for place in range(2):  # where the lamp's ray through this point meets the table
                seen = self._eye[place] + depth * rays[place] - height * self._lamp[place]
                self._spot[place][rows, columns][hit] = seen[hit]

    def _darken(self, blocks: list[Block], arm: list[Link]) -> None:
        """Shadows of the arm on table and boxes, and of the boxes on the table."""
        table = (self._kind == TABLE) | (self._kind == BLOCK)
        dark = np.zeros_like(table)
        for link in arm:
            start, end = (point[:2] - point[2] * self._lamp[:2] for point in (link.start, link.end))
            line = end - start
            reach = _length(line) / 2 + max(link.radii) + 0.25  # on the tops of boxes shadows are seen elsewhere
            window = self._window(np.array((*(start + end) / 2, 0.0)), reach)
            x, y = (self._spot[axis][window] - start[axis] for axis in range(2))
            part = ((x * line[0] + y * line[1]) / max(_dot(line, line), 1e-9)).clip(0, 1)
            x, y = x - part * line[0], y - part * line[1]
            radius = link.radii[0] + part * (link.radii[1] - link.radii[0])
            above = link.start[2] + part * (link.end[2] - link.start[2]) > self._height[window]
            dark[window] |= (x * x + y * y < radius * radius) & above
        for block in blocks:
            self._add_box_shadow(block, dark)
        self._colour[table & dark] *= _SHADE

    def _add_box_shadow(self, block: Block, dark: np.ndarray) -> None:
        """Points of the table from which a box hides the lamp: the ray to it meets all three pairs of faces at once."""
        cosine, sine = block.turn
        window = self._window(np.array((*block.place, 0.0)), block.reach + 2 * float(block.half[2]) + 0.1)
        x, y = (self._spot[axis][window] - block.place[axis] for axis in range(2))
        begin, end = 0.0, 2 * block.half[2]
        for value, axis, half in (
            (cosine * x + sine * y, (cosine, sine), block.half[0]),
            (cosine * y - sine * x, (-sine, cosine), block.half[1]),
        ):
            slope = axis[0] * self._lamp[0] + axis[1] * self._lamp[1]
            slope = slope if abs(slope) > 1e-6 else 1e-6
            one, other = (-half - value) / slope, (half - value) / slope
            begin, end = np.maximum(begin, np.minimum(one, other)), np.minimum(end, np.maximum(one, other))
        dark[window] |= (begin < end) & (self._kind[window] == TABLE)

    def _add_link(self, link: Link) -> None:
        reach = max(link.radii)
        rows, columns = self._window((link.start + link.end) / 2, _length(link.end - link.start) / 2 + reach)
        (ax, ay, a_depth), (bx, by, b_depth) = (self._seen(point) for point in (link.start, link.end))
        x, y = self._steps[columns][None, :] - ax, -self._steps[rows][:, None] - ay
        line_x, line_y = bx - ax, by - ay
        part = ((x * line_x + y * line_y) / max(line_x * line_x + line_y * line_y, 1e-12)).clip(0, 1)
        depth = a_depth + part * (b_depth - a_depth)
        thick = link.radii[0] + part * (link.radii[1] - link.radii[0])
        radius = thick / depth
        x, y = (x - part * line_x) / radius, (y - part * line_y) / radius
        inside = 1 - x * x - y * y
        bulge = np.sqrt(inside.clip(0, 1))
        depth = depth - bulge * thick
        hit = (inside >= 0) & (depth < self._depth[rows, columns])
        ends = np.array([until for until, _ in link.bands[:-1]])
        colours = np.array([colour for _, colour in link.bands])
        band = np.searchsorted(ends, part[hit], side="right")
        light = 0.50 + 0.40 * bulge[hit] + 0.18 * (y[hit] - 0.4 * x[hit]).clip(-1, 1)
        self._depth[rows, columns][hit] = depth[hit]
        self._colour[rows, columns][hit] = colours[band] * light[:, None] + 40 * (light[:, None] - 0.92).clip(0, 1)
        self._kind[rows, columns][hit] = link.kind

    def _seen(self, point: np.ndarray) -> tuple[float, float, float]:
        """Where a point is seen on the plane one ahead, and its depth."""
        away = point - self._eye
        depth = max(_dot(away, self._ahead), 0.2)
        return _dot(away, self._right) / depth, _dot(away, self._up) / depth, depth

    def _window(self, middle: np.ndarray, reach: float) -> tuple[slice, slice]:
        """The rows and columns of points that a ball may be seen in."""
        x, y, depth = self._seen(middle)
        radius = 1.5 * reach / max(depth - reach, 0.2)
        step, count = self._steps[1] - self._steps[0], len(self._steps)
        found = []
        for centre in (-y, x):
            low, high = ((centre + sign * radius + self._half) / step for sign in (-1, 1))
            found.append(slice(min(max(int(low), 0), count), min(max(int(high) + 2, 0), count)))
        return found[0], found[1]


def _summed(fine: np.ndarray) -> np.ndarray:
    """The sums over the points of each pixel."""
    return sum(fine[row::_FINE, column::_FINE] for row in range(_FINE) for column in range(_FINE))


def _arm(moment: Moment) -> list[Link]:
    """The links of the arm, as of a red and black robot with a gripper of two fingers."""
    shoulder, elbow, wrist, hand = moment.joints
    upper = ((0.35, _RED), (0.8, _BLACK), (1.0, _RED))
    fore = ((0.12, _BLACK), (0.45, _RED), (0.55, _WHITE), (0.86, _RED), (1.0, _BLACK))
    palm = hand + np.array((0.0, 0.0, 0.12))
    links = [
        Link(shoulder, elbow, (0.21, 0.19), upper),
        Link(elbow, wrist, (0.18, 0.15), fore),
        Link(wrist, palm, (0.145, 0.1), ((0.3, _BLACK), (0.55, _WHITE), (1.0, _BLACK))),
    ]
    for side in (-1, 1):
        out = np.array((side * moment.opening, 0.0, 0.0))
        links.append(Link(palm + out, hand + out - np.array((0.0, 0.0, 0.06)), (0.046, 0.036), ((1.0, _BLACK),)))
    return links


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    """The inner product, summed in order: a library's own may round otherwise elsewhere."""
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    (a, b, c), (d, e, f) = one.tolist(), other.tolist()
    return np.array((b * f - c * e, c * d - a * f, a * e - b * d))


def _length(vector: np.ndarray) -> float:
    return float(np.sqrt(_dot(vector, vector)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / _length(vector)
