"""A trained encoder as a folder: `config.json` and `model.safetensors`; those of the encoders it is built on are in it.

Everything that serving, predicting and segmenting need is in the folder; reading it runs no code from it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmvid.config import explain
from mmvid.encoders import Encoder, build, describe

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class EncoderPackage:
    """An encoder with all that is needed to use it.

    Attributes:
        model: the encoder, in evaluation mode, on the CPU.
        key: digest of what made its weights: equal keys, equal features.
        origin: where the weights come from, for people, such as the data set's title.
        frame_stride: from one frame of a clip to the next, in frames of what it was trained on.
    """

    model: Encoder
    key: str
    origin: str
    frame_stride: int = 1

    @property
    def name(self) -> str:
        """The encoder's name in the catalogue."""
        return self.model.name


def save(package: EncoderPackage, folder: Path) -> None:
    """Writes the package into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in package.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    description = {
        "format": FORMAT,
        **describe(package.model),
        "key": package.key,
        "origin": package.origin,
        "frame_stride": package.frame_stride,
    }
    (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> EncoderPackage:
    """Rebuilds a package from its folder.

    Raises:
        ValueError: if a file is missing or damaged, the format is another one, or weights and config disagree;
            the message names the file.
    """
    path = folder / "config.json"
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, got {description['format']}")
        model = build(description)
        rest = {name: description[name] for name in ("key", "origin", "frame_stride")}
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must describe an encoder: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    weights = folder / "model.safetensors"
    try:
        model.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        sentence = " ".join(str(error).split())
        raise ValueError(f"{weights} must hold the weights of config.json: {sentence}") from error
    return EncoderPackage(model.eval(), **rest)
