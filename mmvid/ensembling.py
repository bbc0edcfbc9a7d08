"""An ensemble from its members to its scores: read what they predicted, fit on `gate`, blend, measure.

Members are pinned: each is the run behind a run's id or a registered version, with its package and its predictions.
"""

import dataclasses
import time

import numpy as np
import torch
from torch import Tensor

from mmvid import blends, ensemble_package, ensemble_serving, evaluation, experiment, predictions
from mmvid.blends import Blend
from mmvid.config import Options, deciding
from mmvid.ensemble.joining import Joined, Member, blend, taught_pairs
from mmvid.ensemble.model import FITTED_ON, HALVES, MemberWords
from mmvid.ensemble_package import PREFIX, EnsemblePackage
from mmvid.metrics import ranking
from mmvid.packaging import Package
from mmvid.predictions import Predictions
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.records.words import NO_WORDS, Words
from mmvid.registry import measurement, versions
from mmvid.runs import Finished, Task, load_run

SPLITS = (FITTED_ON, "validate")


@dataclasses.dataclass(frozen=True)
class Source:
    """A member as it is found: its run and its package."""

    run: Finished
    package: Package

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.package.name} (run {self.run.id})"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an ensemble came to.

    Attributes:
        package: the ensemble.
        predictions: split -> predictions, of `gate` and `validate`.
        metrics: `validate/gap`, `validate/with_text/gap`, `validate/cut/gap`, `gate/gap` and so on.
    """

    package: EnsemblePackage
    predictions: dict[str, Predictions]
    metrics: dict[str, float]

    def summary(self) -> str:
        shown = ", ".join(
            f"{name} {self.metrics[f'validate/{name}']:.4f}" for name in ("gap", "map", "hit_at_1", "perr")
        )
        best = f"the best member's gap {self.metrics['validate/best_member/gap']:.4f}"
        return f"validate: {shown}; {best}"


def find_sources(members: list[str]) -> list[Source]:
    """The members behind ids of runs and URIs of registered versions.

    Raises:
        ValueError: if there are fewer than two, one comes twice, is not there, or is no classifier.
    """
    if len(members) < 2:
        raise ValueError(f"members must be at least 2 runs or registered models, got {len(members)}")
    found: list[Source] = []
    for member in members:
        run = run_of(member)
        if run.id in (other.run.id for other in found):
            raise ValueError(f"members must be distinct, run {run.id} is there twice")
        package = ensemble_serving.load_logged(versions.model_uri(run))
        if not isinstance(package, Package):
            raise ValueError(f"members must be classifiers, run {run.id} is an {package.name}")
        found.append(Source(run, package))
    return found


def run_of(model: str) -> Finished:
    """The run behind a run's id or `models:/name/version` or `models:/name@alias`.

    Raises:
        ValueError: if there is none.
    """
    return versions.run_behind(model) if model.startswith("models:/") else load_run(model)


def words_of(package: Package | EnsemblePackage, run: Finished, store: Store) -> Words:
    """The words of a data set that a package reads, from the text sets that its runs were trained on.

    Raises:
        ValueError: if it reads words, and those text sets are of another data set, or gone.
    """
    if isinstance(package, EnsemblePackage):
        runs = [load_run(origin) for origin in package.origins]
        own = tuple(words_of(*pair, store) for pair in zip(package.members, runs, strict=True))
        return MemberWords(fields=package.model.reads_text, members=own)
    if not package.model.reads_text:
        return NO_WORDS
    textset = TextSet.open(run.tags.get("mmvid.text.set", ""))
    if textset.store_digest != store.base.digest:
        raise ValueError(f"{package.name} (run {run.id}) reads words, and its text set is of another data set")
    return measurement.words_of(package, textset)


def find_store(sources: list[Source]) -> Store:
    """The data set that all members can be scored on: that of one of them.

    Raises:
        ValueError: if there is none; the sentence says what stands in the way on each.
    """
    ensemble_package.check_vocabulary([each.package for each in sources], [each.run.id for each in sources])
    obstacles = []
    for place in dict.fromkeys(each.run.tags.get("mmvid.data.store", "") for each in sources):
        store = Store.open(place)
        against = [(each, _obstacle(each, store)) for each in sources]
        if all(found is None for _, found in against):
            if store.schema.segments is not None:
                raise ValueError(
                    f"members must score videos, {store.name} has segments: their ids do not tell them apart"
                )
            return store
        obstacles += [f"{each.name} not on {place}: {found}" for each, found in against if found is not None]
    raise ValueError(f"members must all be able to read one of their data sets; {'; '.join(obstacles)}")


def _obstacle(source: Source, store: Store) -> str | None:
    if not source.package.model.reads_text:
        return source.package.obstacle(store)
    try:
        words_of(source.package, source.run, store)
    except ValueError as error:
        return str(error)
    return None


def task(name: str, config: Options, sources: list[Source], store: Store) -> Task:
    """The run that an ensemble of these members is."""
    keys = {f"member.{number}": each.run.tags["mmvid.key"] for number, each in enumerate(sources)}
    return Task(
        entry=f"{PREFIX}{name}",
        options=deciding(config),
        inputs={"data": store.digest} | keys,
        modules=("mmvid.ensembling", f"mmvid.blends.{name}"),
        name=f"{name} of {len(sources)} on {store.name}",
    )


def run(name: str, config: Options, sources: list[Source], store: Store, *, key: str, progress: bool = True) -> Outcome:
    """Fits the blend on `gate`, blends what the members predicted for `gate` and `validate`, and measures it.

    Args:
        name: the blend's, in its catalogue.
        config: its options.
        sources: the members.
        store: a data set that all of them can read.
        key: the key of the run.
        progress: whether to show progress bars.

    Raises:
        ValueError: if members' predictions are not of the same videos, or their labels not the same.
    """
    experiment.check_splits(store, SPLITS)
    joined = {split: join(sources, store, split) for split in SPLITS}
    started = time.monotonic()
    fitted = fit(name, config, joined[FITTED_ON], store, "fit" if progress else "")
    seconds = {"seconds/fit": time.monotonic() - started}
    runs = [each.run.id for each in sources]
    package = ensemble_package.assemble(name, config, fitted, [each.package for each in sources], runs, key)
    metrics: dict[str, float] = {}
    blended: dict[str, Predictions] = {}
    commonest = experiment.commonest_label(store)
    started = time.monotonic()
    for split in SPLITS:
        with torch.inference_mode():
            found = blend(
                joined[split],
                package.model,
                key=key,
                labels=store.labels_of(split),
                fitted=split == FITTED_ON,
                progress=split if progress else "",
            )
        blended[split] = found.predictions
        scored = evaluation.score(found.predictions, store.text_groups(split), commonest)
        cut = ranking.gap_of(found.cut.ranked())
        scored |= {"cut/gap": cut, "cut_cost": scored["gap"] - cut}
        scored |= {"pairs": float(found.rescored[1]), "pairs/rescored": float(found.rescored[0])}
        metrics |= {f"{split}/{metric}": value for metric, value in scored.items()}
    metrics |= seconds | {"seconds/blend": time.monotonic() - started}
    best = max(sources, key=lambda each: each.run.metrics["gate/gap"])
    metrics |= {f"{split}/best_member/gap": best.run.metrics[f"{split}/gap"] for split in SPLITS}
    return Outcome(package, blended, metrics)


def fit(name: str, config: Options, joined: Joined, store: Store, progress: str = "") -> list[Blend]:
    """The blend; one for each half of gate where it learns.

    Raises:
        ValueError: if a half of gate has no videos to learn from.
    """
    kind = blends.load(name)
    if not kind.Model.fitted:
        return [kind.Model(config)]
    with torch.inference_mode():
        pairs, halves = taught_pairs(
            joined,
            store.labels_of(FITTED_ON),
            top=config.ranks,
            most=config.fit_pairs,
            seed=config.blend_seed,
            progress=progress,
        )
    fitted = []
    for half in range(HALVES):
        mine = halves == half
        if not mine.any():
            raise ValueError(
                f"{store.name} must have more videos in {FITTED_ON} for a blend to learn, it has {len(joined)}"
            )
        own = blends.Pairs(pairs.scores[:, mine], pairs.ranks[:, mine], pairs.hits[mine])
        fitted.append(kind.Model.fit(config, own, half, HALVES))
    return fitted


def join(sources: list[Source], store: Store, split: str) -> Joined:
    """The members' predictions of a split, video by video.

    Raises:
        ValueError: as `Joined`.
    """
    ids = store.table(split).column("id").to_pylist()
    members = []
    for each in sources:
        found = predictions.read(each.run.fetch(f"predictions/{split}.arrow"))
        members.append(Member(each.name, found, Rescorer(each, store, split)))
    return Joined(ids, members)


class Rescorer:
    """Scores videos of a split again, by their rows."""

    def __init__(self, source: Source, store: Store, split: str):
        self.model = source.package.model
        words = words_of(source.package, source.run, store)
        self.loader = experiment.batches(store, split, self.model, experiment.PREDICT_BATCH, words=words)

    @torch.inference_mode()
    def __call__(self, rows: np.ndarray) -> Tensor:
        """Scores of all classes, float32 (B, C)."""
        return self.model(self.loader.read(rows)).float()
