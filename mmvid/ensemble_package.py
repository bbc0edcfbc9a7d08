"""An ensemble as a folder: `config.json`, the packages of its members in `members/0` and so on, `blend.safetensors`.

It has what a `Package` has that promotion and serving ask for, so an ensemble is measured and served like any model.
"""

import dataclasses
import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmvid import blends, packaging
from mmvid.blends import Blend
from mmvid.config import Options, explain
from mmvid.ensemble.model import Ensemble
from mmvid.packaging import Package
from mmvid.records.schema import Schema
from mmvid.records.store import Store
from mmvid.records.textset import TextSet

FORMAT = 1
PREFIX = "ensemble_"


@dataclasses.dataclass(frozen=True)
class EnsemblePackage:
    """An ensemble with all that is needed to use it.

    Attributes:
        blend: the blend's name in its catalogue, such as `mean`.
        config: the blend's options.
        members: the packages of the members, in order.
        origins: the run that each was trained by.
        key: the key of the run that made the ensemble.
        model: members and blends, in evaluation mode, on the CPU.
    """

    blend: str
    config: Options
    members: list[Package]
    origins: list[str]
    key: str
    model: Ensemble

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.blend}"

    @property
    def schema(self) -> Schema:
        """The records that the members were trained on."""
        return self.members[0].schema

    @property
    def labels(self) -> list[str]:
        """The name of each class."""
        return self.members[0].labels

    def obstacle(self, store: Store, textset: TextSet | None = None) -> str | None:
        """Why the ensemble cannot be measured on a data set, whose words `textset` holds, or None where it can."""
        for origin, member in zip(self.origins, self.members, strict=True):
            if (found := member.obstacle(store, textset)) is not None:
                return f"of its member {member.name} (run {origin}): {found}"
        return None


def assemble(
    blend: str, config: Options, fitted: list[Blend], members: list[Package], origins: list[str], key: str
) -> EnsemblePackage:
    """An ensemble of members.

    Raises:
        ValueError: as `check_vocabulary`.
    """
    check_vocabulary(members, origins)
    model = Ensemble([member.model for member in members], fitted).eval()
    return EnsemblePackage(blend, config, members, origins, key, model)


def check_vocabulary(members: list[Package], origins: list[str]) -> None:
    """Raises ValueError if members know other labels; the sentence names two of them."""
    first = members[0]
    for origin, member in zip(origins, members, strict=True):
        if member.labels != first.labels:
            counts = (
                f"{len(first.labels)} labels of {first.schema.name} and {len(member.labels)} of {member.schema.name}"
            )
            pairs = enumerate(zip(first.labels, member.labels, strict=False))
            other = next((f"; label {i} is {one!r} and {two!r}" for i, (one, two) in pairs if one != two), "")
            who = f"{first.name} (run {origins[0]}) and {member.name} (run {origin})"
            raise ValueError(f"members must have one vocabulary, {who} have {counts}{other}")


def save(package: EnsemblePackage, folder: Path) -> None:
    """Writes the ensemble with its members into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "ensemble": package.blend,
        "config": package.config.model_dump(mode="json", by_alias=True),
        "members": package.origins,
        "blends": len(package.model.blends),
        "key": package.key,
    }
    for number, member in enumerate(package.members):
        packaging.save(member, folder / "members" / str(number))
    states = {
        f"{number}.{name}": tensor.contiguous()
        for number, blend in enumerate(package.model.blends)
        for name, tensor in blend.state_dict().items()
    }
    save_file(states, folder / "blend.safetensors")
    (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> EnsemblePackage:
    """Rebuilds an ensemble from its folder.

    Raises:
        ValueError: if a file is missing or damaged, or the format is another one; the message names the file.
    """
    path = folder / "config.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, got {description['format']}")
        name, origins, key = (description[part] for part in ("ensemble", "members", "key"))
        kind = blends.load(name)
        config = kind.Config.model_validate(description["config"])
        states = load_file(folder / "blend.safetensors")
        fitted = []
        for number in range(description["blends"]):
            start = f"{number}."
            own = {each.removeprefix(start): tensor for each, tensor in states.items() if each.startswith(start)}
            fitted.append(kind.Model(config, **own))
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must describe an ensemble: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    members = [packaging.load(folder / "members" / str(number)) for number in range(len(origins))]
    return assemble(name, config, fitted, members, origins, key)


def load_any(folder: Path) -> Package | EnsemblePackage:
    """A classifier or an ensemble, whichever a folder holds.

    Raises:
        ValueError: as the loader of either.
    """
    try:
        ensemble = "ensemble" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, TypeError):  # told better by the loader
        ensemble = False
    return load(folder) if ensemble else packaging.load(folder)
