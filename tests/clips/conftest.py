"""Writers of every published format of clips, small, each with the frames that were written."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from PIL import Image

from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import write_records


def frames_of(seed: int, steps: int = 5, height: int = 8, width: int = 8) -> np.ndarray:
    """Random frames, uint8 (T, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (steps, height, width, 3), np.uint8)


def numbers_of(seed: int, steps: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, size)).astype(np.float32)


def trajectory(seed: int, steps: int = 5, side: int = 8, cameras: tuple[str, ...] = ("main", "aux1")) -> dict:
    """The features of one record as BAIR's; a camera's frames are `frames_of` the seed, aux1's of the seed + 1000."""
    features = {}
    for step in range(steps):
        for camera in cameras:
            frames = frames_of(seed + 1000 * (camera == "aux1"), steps, side, side)
            features[f"{step}/image_{camera}/encoded"] = [frames[step].tobytes()]
        features[f"{step}/action"] = numbers_of(seed, steps, 4)[step]
        features[f"{step}/endeffector_pos"] = numbers_of(seed + 1, steps, 3)[step]
    return features


@dataclasses.dataclass(frozen=True)
class Writer:
    """Writes data sets below a folder."""

    folder: Path

    def bair(self, counts: Mapping[str, list[int]], **options) -> Path:
        """`counts`: split -> trajectories of each file; seeds go on from 0 over all files."""
        seed = 0
        for split, files in counts.items():
            (self.folder / "softmotion30_44k" / split).mkdir(parents=True, exist_ok=True)
            for count in files:
                path = self.folder / "softmotion30_44k" / split / f"traj_{seed}_to_{seed + count - 1}.tfrecords"
                write_records(path, [encode_example(trajectory(seed + each, **options)) for each in range(count)])
                seed += count
        return self.folder / "softmotion30_44k"

    def video(self, name: str, frames: int, rate: int = 10, side: int = 32) -> Path:
        """A video whose frame t has the grey value 8 * t, as H.264 keeps it (nearly)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = side, side // 2, "yuv420p"
            for step in range(frames):
                grey = np.full((side // 2, side, 3), 8 * step, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    def pictures(self, name: str, frames: np.ndarray) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True)
        for step, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"frame{step}.png")  # frame10 sorts before frame2 as text
        return folder

    def hdf5(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        with h5py.File(self.folder / name, "w") as file:
            for key, array in arrays.items():
                file[key] = array
        return self.folder / name


@pytest.fixture
def writer(tmp_path) -> Writer:
    (tmp_path / "source").mkdir()
    return Writer(tmp_path / "source")


@pytest.fixture
def frames() -> Callable[..., np.ndarray]:
    return frames_of


@pytest.fixture
def numbers() -> Callable[..., np.ndarray]:
    return numbers_of
