"""Predicted masks on disk: an Arrow IPC file with a grey PNG of the probabilities for each picture."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from mmvid.durable import replacing
from mmvid.segmentation.pictures import png


@dataclasses.dataclass(frozen=True)
class MaskPredictions:
    """The predicted masks of N pictures.

    Attributes:
        ids: N ids.
        scores: probabilities (N, H, W); on disk they are rounded to 255ths.
        overlaps: the IoU of each with its true mask, float64 (N,).
        threshold: probability from which on a pixel is in the mask.
        key: the key of the run whose model made them.
    """

    ids: list[str]
    scores: np.ndarray
    overlaps: np.ndarray
    threshold: float
    key: str

    def __len__(self) -> int:
        return len(self.ids)


def write(predictions: MaskPredictions, path: Path) -> None:
    """Writes predictions, all of them or none."""
    columns = {
        "id": pa.array(predictions.ids, pa.string()),
        "iou": pa.array(predictions.overlaps, pa.float64()),
        "scores": pa.array([png(scores) for scores in predictions.scores], pa.binary()),
    }
    table = pa.table(columns).replace_schema_metadata(
        {"key": predictions.key, "threshold": repr(predictions.threshold)}
    )
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def read(path: Path) -> MaskPredictions:
    """Reads what `write` wrote.

    Raises:
        ValueError: if the file is none of predicted masks.
    """
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        pictures = [np.asarray(Image.open(io.BytesIO(content))) for content in table["scores"].to_pylist()]
        scores = np.stack(pictures).astype(np.float32) / 255
        overlaps = table["iou"].to_numpy()
        return MaskPredictions(table["id"].to_pylist(), scores, overlaps, float(metadata["threshold"]), metadata["key"])
    except (pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise ValueError(f"{path} must hold predicted masks: {type(error).__name__}: {error}") from error
