"""One trial in progress: it hears of each epoch, and says when it is to end."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

RESUMED = "resumed"  # of a trial that goes on from the checkpoint of the one that it takes up


class Pruned(Exception):
    """Raised by `Trial.epoch`: the trial is to end now. Training loops let it pass."""


class Taken(Exception):
    """Another process held this one for dead and has taken up its trial."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        trials: finished trials of the study, all processes together.
        timeout: seconds after which this process starts no further trial; 0 is none.
        epochs: epochs of all trials of all processes, with those of killed ones; 0 is no limit.
        seconds: seconds that all trials of all processes trained; 0 is no limit.
    """

    trials: int
    timeout: float = 0
    epochs: int = 0
    seconds: float = 0

    @property
    def any(self) -> bool:
        """Whether what trials train is limited at all."""
        return bool(self.epochs or self.seconds)

    def are_spent(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether trials have trained as many epochs or seconds as they may."""
        epochs, seconds = spent(trials)
        return bool((self.epochs and epochs >= self.epochs) or (self.seconds and seconds >= self.seconds))


class Trial:
    """One trial in progress.

    Attributes:
        number: its number in the study.
        values: option -> the value drawn.
        lineage: the number of the trial that this one takes up, its own where it takes up none.
        epochs: epochs that it has trained.
        pruned_by: who ended it early, if so.
    """

    def __init__(
        self,
        asked: optuna.Trial,
        objective: str | None,
        patiently: Callable[..., Any],
        is_spent: Callable[[], bool] | None,
    ):
        """Begins a trial.

        Args:
            asked: the trial in the storage.
            objective: the metric that it may be pruned by, if there is one.
            patiently: calls the storage.
            is_spent: whether the study's epochs or seconds are spent; None where they have no limit.
        """
        self.asked, self.objective, self.patiently, self.is_spent = asked, objective, patiently, is_spent
        self.number = asked.number
        self.lineage = patiently(lambda: asked.user_attrs).get("retries", [self.number])[0]
        self.values: dict[str, Any] = {}
        self.epochs = 0
        self.started = time.monotonic()
        self.pruned_by = ""

    def note(self, name: str, value: Any) -> None:
        """Keeps a fact with the trial."""
        self._store(self.asked.set_user_attr, name, value)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def epoch(self, metrics: Mapping[str, float], number: int) -> None:
        """Hears of an epoch.

        Args:
            metrics: of this epoch; the study's objective must be among them, where there is one only.
            number: the epoch's number, from 0.

        Raises:
            Pruned: if the trial is not worth its time, or the study's epochs or seconds are spent.
            Taken: if another process has taken the trial up.
        """
        self.epochs = number + 1
        if self.is_spent is not None:
            self.note("spent", [self.epochs, self.seconds()])
        if self.objective is not None:
            self._store(self.asked.report, float(metrics[self.objective]), number)
            if self.patiently(self.asked.should_prune):
                self.pruned_by = f"the pruner, after {self.epochs} epochs"
                raise Pruned
        if self.is_spent is not None and self.is_spent():
            self.pruned_by = f"the end of the budget, after {self.epochs} epochs"
            raise Pruned

    def _store(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            self.patiently(call, *arguments)
        except UpdateFinishedTrialError as error:
            raise Taken(f"trial {self.number} was taken up by another process") from error


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial has ended by itself; one whose process was killed has not."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs


def epochs_of(trial: FrozenTrial) -> int:
    """Epochs that a trial has trained so far."""
    return max(trial.user_attrs.get("spent", [0, 0.0])[0], len(trial.intermediate_values))


def seconds_of(trial: FrozenTrial) -> float:
    """Seconds that a trial has trained, as far as it has told."""
    return trial.user_attrs.get("spent", [0, 0.0])[1]


def spent(trials: Sequence[FrozenTrial]) -> tuple[int, float]:
    """Epochs and seconds that all trials of a study have trained; what a resumed trial was given counts once."""
    return sum(epochs_of(trial) - _given(trial, trials) for trial in trials), sum(map(seconds_of, trials))


def _given(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """Epochs that a trial did not train itself: those up to the checkpoint of the trial before it."""
    if not trial.user_attrs.get(RESUMED):
        return 0
    return min(epochs_of(trial), epochs_of(trials[trial.user_attrs["retries"][-1]]))
