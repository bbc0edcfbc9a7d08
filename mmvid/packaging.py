"""A trained classifier as a folder: `config.json`, `model.safetensors`, `labels.csv`; `words.txt` where it reads words,
`text/` (a text encoder) where it reads features of titles and keywords.

Everything that serving, ensembling and promotion need is in the folder; reading it runs no code from it.
"""

import csv
import dataclasses
import json
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmvid import classifiers
from mmvid.classifiers import Classifier
from mmvid.config import Options, explain
from mmvid.records.batches import Shapes
from mmvid.records.schema import Schema
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.text.fields import Cleaning
from mmvid.text_encoder import TextEncoder

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Package:
    """A classifier with all that is needed to use it.

    Attributes:
        name: its name in the catalogue, such as `moe`.
        config: the options that it was built with.
        shapes: the sizes that it was built for.
        schema: the records that it was trained on: their keys are the keys of a request.
        labels: the name of each class; names are not unique.
        key: the key of the run that trained it.
        model: the classifier, in evaluation mode, on the CPU.
        words: the words that it knows, number 1 first; none where it reads no text.
        cleaning: how titles and keywords were cleaned for it, where it reads words.
        encoder: what makes its features of titles and keywords, where it reads these.
    """

    name: str
    config: Options
    shapes: Shapes
    schema: Schema
    labels: list[str]
    key: str
    model: Classifier
    words: list[str] = dataclasses.field(default_factory=list)
    cleaning: Cleaning | None = None
    encoder: TextEncoder | None = None

    def obstacle(self, store: Store, textset: TextSet | None = None) -> str | None:
        """Why the model cannot be measured on a data set, whose words `textset` holds, or None where it can."""
        if (self.schema.name, self.shapes.classes) != (store.schema.name, store.shapes.classes):
            trained = f"it was trained on {self.schema.name} with {self.shapes.classes} labels"
            return f"{trained}, the data set is {store.schema.name} with {store.shapes.classes}"
        if self.labels != store.names:
            return "its labels have other names than the data set's"
        if self.model.reads_text and textset is None:
            return "it reads words, which a text set has and a store has not, and no text set is given"
        for modality in self.model.modalities:
            level = self.level(modality)
            if getattr(self.shapes, level).get(modality) != getattr(store.shapes, level).get(modality):
                what = f"frames of {modality}" if level == "frames" else modality
                return f"it reads {what} of another size than the data set has, or the data set has none"
        return None

    def level(self, modality: str) -> Literal["features", "frames"]:
        """What the model reads of a modality: one vector a video, or frames where it reads frames and there are any."""
        return "frames" if self.model.reads_frames and modality in self.shapes.frames else "features"


def save(package: Package, folder: Path) -> None:
    """Writes the package into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in package.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    description = {
        "format": FORMAT,
        "classifier": package.name,
        "config": package.config.model_dump(mode="json", by_alias=True),
        "shapes": package.shapes.model_dump(mode="json"),
        "schema": package.schema.model_dump(mode="json", by_alias=True),
        "key": package.key,
    }
    if package.cleaning is not None:
        description["cleaning"] = package.cleaning.model_dump(mode="json")
    (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    if package.model.reads_text:
        (folder / "words.txt").write_bytes("".join(f"{word}\n" for word in package.words).encode())
    if package.encoder is not None:
        package.encoder.save(folder / "text")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name"])
        writer.writerows(enumerate(package.labels))


def load(folder: Path) -> Package:
    """Rebuilds a package from its folder.

    Raises:
        ValueError: if a file is missing or damaged, the format is another one, or weights and config disagree;
            the message names the file.
    """
    path = folder / "config.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, got {description['format']}")
        member = classifiers.load(description["classifier"])
        config = member.Config.model_validate(description["config"])
        shapes = Shapes.model_validate(description["shapes"])
        schema = Schema.model_validate(description["schema"])
        cleaning = Cleaning.model_validate(description["cleaning"]) if "cleaning" in description else None
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must describe a classifier: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    model = member.Model(config, shapes)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        sentence = " ".join(str(error).split())
        raise ValueError(f"{folder / 'model.safetensors'} must hold the weights of config.json: {sentence}") from error
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = [row["name"] for row in csv.DictReader(file)]
    if len(labels) != shapes.classes:
        raise ValueError(f"{folder / 'labels.csv'} must name {shapes.classes} classes, got {len(labels)}")
    words = _words(folder / "words.txt", shapes.words) if model.reads_text else []
    encoder = TextEncoder.load(folder / "text") if (folder / "text").is_dir() else None
    name, key = description["classifier"], description["key"]
    return Package(name, config, shapes, schema, labels, key, model.eval(), words, cleaning, encoder)


def _words(path: Path, count: int) -> list[str]:
    try:
        words = path.read_bytes().decode().split("\n")[:-1]  # a word may hold what Python, too, takes for a line's end
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must hold the words that the model knows: {error}") from error
    if len(words) != count:
        raise ValueError(f"{path} must hold {count} words, got {len(words)}")
    return words


def pinned_requirements() -> list[str]:
    """Our direct dependencies at the versions installed now, without local labels such as `+cpu`."""
    names = [Requirement(line).name for line in metadata.requires("mmvid") or [] if "extra ==" not in line]
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in names]
