"""Frames a second of served segmenters, a picture at a time and 64 at once: what a request costs from PNG to answer.

    OMP_NUM_THREADS=1 python -m benchmarks.segmentation models:/mmvid-segmenter-attention@champion [URI ...]

Each URI is loaded as `mlflow models serve` loads it and answers requests as its scoring server hands them on (base64
PNGs in; mask, polygons and confidence out); `model` is the same pictures as arrays, without pictures read or written.
Pictures are noise of the frames' size: what they show does not change the time of the model. HTTP itself is not in it.
"""

import base64
import sys
import time
from collections.abc import Callable

import numpy as np

from mmvid import segmentation_serving
from mmvid.segmentation.pictures import png

BATCHES = (1, 64)
SECONDS = 3.0  # of each measurement, after one call that is not timed


def main(argv: list[str]) -> None:
    if not argv:
        raise SystemExit("models must be given: URIs of segmenters, such as models:/mmvid-segmenter@champion")
    print(f"{'segmenter':<44}{'batch':>6}{'served/s':>10}{'served/CPU s':>14}{'model/CPU s':>13}")
    for uri in argv:
        package = segmentation_serving.load_logged(uri)
        service = segmentation_serving.Service(package)
        height, width = package.frame
        for batch in BATCHES:
            random = np.random.default_rng(0)
            frames = random.integers(0, 256, (batch, height, width, 3), np.uint8)
            records = [{"id": row, "picture": _base64(frame)} for row, frame in enumerate(frames)]
            served, of_cpu = speed(lambda records=records, service=service: service.answer(records))
            _, alone = speed(lambda frames=frames, package=package: package.scores(frames))
            print(f"{package.title:<44}{batch:>6}{batch * served:>10.1f}{batch * of_cpu:>14.1f}{batch * alone:>13.1f}")


def _base64(frame: np.ndarray) -> str:
    return base64.b64encode(png(frame / 255)).decode("ascii")


def speed(call: Callable[[], object]) -> tuple[float, float]:
    """Calls a second, and a CPU second."""
    call()
    begin, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < SECONDS:
        call()
        count += 1
    return count / (time.perf_counter() - begin), count / (time.process_time() - used)


if __name__ == "__main__":
    main(sys.argv[1:])
