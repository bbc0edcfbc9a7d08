"""Video files, one a clip, in a folder, or in a folder a class: `[split/][class/]name.mp4`.

Long ones are cut into clips of `clip_frames`; with `frame_rate`, the frame that is shown at each tick is taken.
"""

from collections.abc import Iterator

import av
import numpy as np

from mmvid.clips.clip import Clip
from mmvid.clips.pictures import fitted
from mmvid.clips.sources import BadClip, Located, Piece, ReadOptions, Report, on_disk

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".gif")


def pieces(located: list[Located]) -> list[Piece]:
    """One piece a video; classes are the folders right above, where every video lies in one."""
    classed = all(len(each.parts) == 2 for each in located)
    return [
        Piece((each.file,), "/".join((each.split, *each.parts)), each.split, each.parts[0] if classed else None)
        for each in located
    ]


def read(piece: Piece, options: ReadOptions, report: Report) -> Iterator[Clip]:
    """The clip of a video, or its clips, all of one trajectory; the last may be shorter."""
    frames: list[np.ndarray] = []
    clips = 0

    def clip() -> Clip:
        id = piece.name if options.clip_frames is None else f"{piece.name}@{clips}"
        return Clip(id, piece.name, piece.split, np.stack(frames), label=piece.label)

    try:
        with on_disk(piece.file) as path, av.open(str(path)) as container:
            for frame in _frames(container, options.frame_rate):
                if frame.is_corrupt:  # of a file that ends early some formats give half a frame
                    raise ValueError(f"frame {clips * (options.clip_frames or 0) + len(frames)} is damaged")
                frames.append(fitted(frame.to_image(), options.clip_resolution))
                if len(frames) == options.clip_frames:
                    yield clip()
                    frames.clear()
                    clips += 1
    except (av.FFmpegError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        report(BadClip(piece.file, "video", f"not a readable video: {what}"))
        return
    if frames:
        yield clip()
    elif not clips:
        report(BadClip(piece.file, "video", "the video has no frames"))


def _frames(container: av.container.InputContainer, rate: float | None) -> Iterator[av.VideoFrame]:
    """The frames of a video; with a rate, the one that is shown at each tick from the first frame on."""
    if not container.streams.video:
        raise ValueError("it has no pictures")
    decoded = container.decode(container.streams.video[0])
    if rate is None:
        yield from decoded
        return
    shown, begin, tick = None, 0.0, 0
    for frame in decoded:
        if frame.time is None:
            raise ValueError("its frames have no times, so that frame_rate cannot be kept")
        if shown is None:
            begin = frame.time
        while shown is not None and begin + tick / rate < frame.time:
            yield shown
            tick += 1
        shown = frame
    if shown is not None:
        length = shown.duration * shown.time_base if shown.duration else 0
        while begin + tick / rate < shown.time + max(float(length), 1e-9):
            yield shown
            tick += 1
