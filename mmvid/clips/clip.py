"""One clip as a reader gives it and a store keeps it."""

import dataclasses

import numpy as np

from mmvid.clips.manifest import Layout


@dataclasses.dataclass(frozen=True)
class Clip:
    """T frames of one camera.

    Attributes:
        id: unique in its data set.
        trajectory: the scene it shows: clips of one trajectory never lie in two splits.
        split: the publisher's: train, dev or validate.
        frames: uint8 (T, H, W, 3), RGB.
        camera: the camera's name, where there are several.
        actions: float32 (T, A), or None.
        positions: of the robot's hand, float32 (T, P), or None.
        masks: bool (T, K, H, W), one for each of `categories`, or None.
        categories: what the masks show.
        label: the class that it belongs to, or None.
    """

    id: str
    trajectory: str
    split: str
    frames: np.ndarray
    camera: str = ""
    actions: np.ndarray | None = None
    positions: np.ndarray | None = None
    masks: np.ndarray | None = None
    categories: tuple[str, ...] = ()
    label: str | None = None

    @property
    def layout(self) -> Layout:
        """What every other clip of its store must have, too."""
        return Layout(
            height=self.frames.shape[1],
            width=self.frames.shape[2],
            actions=0 if self.actions is None else self.actions.shape[1],
            positions=0 if self.positions is None else self.positions.shape[1],
            categories=self.categories if self.masks is not None else (),
        )
