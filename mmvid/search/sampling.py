"""Samplers and pruners by name."""

from typing import Literal

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler

from mmvid.search.space import Choices, Space

Sampler = Literal["tpe", "random", "grid", "cmaes", "nsga2"]
Pruner = Literal["auto", "median", "halving", "hyperband", "none"]


class Seeded(BaseSampler):
    """A sampler that is seeded anew for each trial, by the trial's number.

    So two processes that share a study draw different values though both were given one seed, and one process draws
    the same values whether or not it was interrupted.
    """

    def __init__(self, name: Sampler, seed: int, startup: int):
        self.name, self.seed, self.startup = name, seed, startup
        self.drawing = self._sampler(0)

    def _sampler(self, number: int) -> BaseSampler:
        seed = self.seed * 1_000_003 + number
        if self.name == "tpe":
            return TPESampler(seed=seed, n_startup_trials=self.startup)
        if self.name == "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=self.startup, warn_independent_sampling=False)
        if self.name == "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(2, self.startup))
        return RandomSampler(seed=seed)

    def before_trial(self, study, trial):
        self.drawing = self._sampler(trial.number)
        self.drawing.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        return self.drawing.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        return self.drawing.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.drawing.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study, trial, state, values):
        self.drawing.after_trial(study, trial, state, values)


class Grid(GridSampler):
    """Every point of a grid once; the order is drawn from the seed, the same in all processes."""

    def after_trial(self, study, trial, state, values):
        """Nothing: the loop asks `is_exhausted` itself, and this would stop a loop of Optuna's that is not there."""


def make_sampler(name: Sampler, space: Space, *, seed: int, startup: int, points: int, objectives: int) -> BaseSampler:
    """The sampler of a study.

    Args:
        name: its name.
        space: what it draws from.
        seed: its seed.
        startup: trials drawn at random before it has enough to go by; NSGA-II's population.
        points: values of a range on a grid.
        objectives: how many numbers a trial is judged by.

    Raises:
        ValueError: if the sampler cannot serve the space or the objectives.
    """
    if name == "grid":
        return Grid(space.grid(points), seed=seed)
    if name == "cmaes":
        if objectives > 1:
            raise ValueError("sampler cmaes serves one objective; take tpe or nsga2 for two")
        if all(isinstance(part, Choices) for part in space.drawn.values()):
            raise ValueError("sampler cmaes needs ranges, and the space has choices only; take tpe or grid")
    return Seeded(name, seed, startup)


def make_pruner(name: Pruner, *, epochs: int, startup: int, warmup: int, objectives: int) -> BasePruner:
    """The pruner of a study; `auto` is the median's where there is one objective.

    Args:
        name: its name.
        epochs: the most that a trial can have.
        startup: finished trials before the median prunes.
        warmup: epochs of a trial before it may be pruned.
        objectives: how many numbers a trial is judged by; Optuna prunes by one only.
    """
    if objectives > 1:
        if name not in ("auto", "none"):
            raise ValueError(f"pruner {name} judges by one objective; with {objectives} it must be none")
        return NopPruner()
    if name in ("auto", "median"):
        return MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=max(1, warmup), reduction_factor=3)
    if name == "hyperband":
        least = max(1, warmup)
        return HyperbandPruner(min_resource=least, max_resource=max(least, epochs), reduction_factor=3)
    return NopPruner()


def exhausted(study: optuna.Study) -> bool:
    """Whether a grid has no point left; other samplers never end."""
    return isinstance(study.sampler, Grid) and study.sampler.is_exhausted(study)
