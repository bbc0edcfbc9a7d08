"""A study that many processes share: trials are asked for, run, told; those of killed processes are taken up again.

It knows no model and no MLflow: an objective trains, reports its epochs and returns what came of it.
"""

import contextlib
import datetime
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from mmvid.liveness import is_gone, this_process
from mmvid.search.sampling import exhausted
from mmvid.search.space import Space
from mmvid.search.storage import GRACE, Patience, Place, close_storage, initialising, open_storage
from mmvid.search.trial import Limits, Pruned, Taken, Trial, counts

Direction = Literal["maximize", "minimize"]
RETRIES = 3  # how often a trial whose process was killed is run again
POLL = 0.5  # seconds between two looks at what other processes do
FAILURES = 3  # trials in a row that may fail before anything has succeeded

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("alembic").setLevel(logging.WARNING)


class Objective(Protocol):
    """Trains with a trial's values, calls `trial.epoch` after each epoch, returns its metrics."""

    def __call__(self, trial: Trial) -> Mapping[str, float]: ...


class Study:
    """An Optuna study, opened by `open_study`.

    Attributes:
        name: its name in the storage.
        place: where it is stored.
        space: what is drawn.
        objectives: metric -> direction; the first one also chooses among equals.
    """

    def __init__(
        self,
        study: optuna.Study,
        place: Place,
        space: Space,
        objectives: Mapping[str, Direction],
        beat: int,
        alone: Callable[[], AbstractContextManager],
    ):
        self.optuna, self.place, self.space, self.objectives, self.beat = study, place, space, objectives, beat
        self.alone = alone  # lets one process of the study in at a time
        self.patiently = Patience(place)
        self.name = study.study_name
        self.me = this_process()
        self.mine = 0  # trials that this process has run

    def trials(self) -> list[FrozenTrial]:
        return self.patiently(self.optuna.get_trials, deepcopy=False)

    def best(self) -> list[FrozenTrial]:
        """The best trial; with several objectives the Pareto front, the best by the first objective in front."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        sign = -1 if next(iter(self.objectives.values())) == "maximize" else 1
        complete.sort(key=lambda trial: (sign * trial.values[0], trial.number))
        if len(self.objectives) == 1:
            return complete[:1]
        front = {trial.number for trial in self.patiently(lambda: self.optuna.best_trials)}
        return [trial for trial in complete if trial.number in front]

    def note(self, name: str, value: Any) -> None:
        """Keeps a fact with the study, for all processes."""
        self.patiently(self.optuna.set_user_attr, name, value)

    def notes(self) -> dict[str, Any]:
        return self.patiently(lambda: self.optuna.user_attrs)

    def dashboard(self) -> str:
        """How to look at the study."""
        return f"Study `{self.name}` in `{self.place}`; in a browser: `{self.place.dashboard()}`"

    def run(
        self,
        objective: Objective,
        limits: Limits,
        *,
        abandoned: Callable[[FrozenTrial], None] = lambda trial: None,
        after: Callable[[FrozenTrial], None] = lambda trial: None,
    ) -> bool:
        """Runs trials until a limit is reached; waits for those of other processes, and takes up what they leave.

        Args:
            objective: one trial.
            limits: when to end.
            abandoned: hears of each trial whose process is gone.
            after: hears of each trial that this process has ended.

        Returns:
            Whether this process is to finish the search: no other has ended its last trial or runs one still.

        Raises:
            ValueError: if the first trials all fail: the last one's error.
            OSError: if the storage stays away.
        """
        deadline = time.monotonic() + limits.timeout if limits.timeout else float("inf")
        while True:
            self._take_up(abandoned)
            over, running, asked = self.patiently(self._ask, limits, deadline)
            if asked is not None:
                after(self._run_one(asked, objective, limits))
            elif time.monotonic() >= deadline or (over and not running):
                break
            else:
                time.sleep(POLL)  # the others may fail yet
        last = max(
            (trial for trial in self.trials() if counts(trial)), key=lambda trial: trial.datetime_complete, default=None
        )
        ends_it = self.mine == 0 or last is None or last.user_attrs.get("process") == self.me
        return ends_it and not any(trial.state == TrialState.RUNNING for trial in self.trials())

    def _ask(self, limits: Limits, deadline: float) -> tuple[bool, int, optuna.Trial | None]:
        """Counts the trials, and asks for one more if none is too many; one process at a time.

        Returns:
            Whether the search is over, how many trials run, and the new one.
        """
        with self.alone():
            trials = self.optuna.get_trials(deepcopy=False)
            running = sum(trial.state == TrialState.RUNNING for trial in trials)
            ended = sum(counts(trial) for trial in trials)
            over = ended >= limits.trials or limits.are_spent(trials) or exhausted(self.optuna)
            if over or ended + running >= limits.trials or time.monotonic() >= deadline:
                return over, running, None
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Heartbeat of storage")  # ours is `_alive`
                return over, running, self.optuna.ask()

    def _run_one(self, asked: optuna.Trial, objective: Objective, limits: Limits) -> FrozenTrial:
        judged_by = next(iter(self.objectives)) if len(self.objectives) == 1 else None
        spent = (lambda: limits.are_spent(self.trials())) if limits.any else None
        trial = Trial(asked, judged_by, self.patiently, spent)
        self.mine += 1
        with self._alive(asked):
            trial.note("process", self.me)
            state, values, error = TrialState.COMPLETE, None, None
            try:
                trial.values = self.patiently(self.space.draw, asked)
                metrics = objective(trial)
                values = [float(metrics[name]) for name in self.objectives]
                if any(value != value for value in values):
                    raise ValueError(f"{', '.join(self.objectives)} must be numbers, got {values}")
                trial.note("metrics", {name: float(value) for name, value in metrics.items()})
            except Pruned:
                state = TrialState.PRUNED
            except Taken:
                return self._frozen(asked)
            except (ValueError, ArithmeticError, MemoryError) as raised:  # such as a loss that is no number any more
                state, values, error = TrialState.FAIL, None, raised
            if error is not None:
                trial.note("error", str(error).splitlines()[0] if str(error) else type(error).__name__)
            trial.note("spent", [trial.epochs, trial.seconds()])
            self._tell(asked, values, state)
        if error is not None:
            self._check_failures(error)
        return self._frozen(asked)

    def _tell(self, asked: optuna.Trial, values: list[float] | None, state: TrialState) -> None:
        def tell() -> None:
            if not self._frozen(asked).state.is_finished():  # told before a connection broke, or taken up by others
                self.optuna.tell(asked, values, state)

        with contextlib.suppress(UpdateFinishedTrialError):
            self.patiently(tell)

    def _check_failures(self, error: Exception) -> None:
        trials = [trial for trial in self.trials() if counts(trial)]
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        if len(failed) == len(trials) >= FAILURES:
            raise ValueError(f"the first {len(failed)} trials all failed; the last one: {error}") from error

    def _take_up(self, abandoned: Callable[[FrozenTrial], None]) -> None:
        """Fails the trials whose process is gone and queues each again with its values."""
        for trial in self.patiently(self._lost):
            try:
                self.patiently(self.optuna._storage.set_trial_state_values, trial._trial_id, TrialState.FAIL)
            except UpdateFinishedTrialError:
                continue  # another process was quicker
            history = [*trial.user_attrs.get("retries", []), trial.number]
            again = len(history) <= RETRIES and trial.user_attrs.get("process") is not None
            sys.stderr.write(
                f"trial {trial.number}: its process is gone; {'it is run again' if again else 'given up'}\n"
            )
            if again:
                retried = optuna.trial.create_trial(
                    state=TrialState.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={"retries": history},
                    system_attrs=trial.system_attrs,  # which point of the grid it is
                )
                self.patiently(self.optuna.add_trial, retried)
            abandoned(trial)

    def _lost(self) -> list[FrozenTrial]:
        """Running trials whose process is gone.

        Where machines share the storage, their heartbeats tell; a trial that never had one was cut off between two
        writes. On one machine the kernel tells at once.
        """
        running = self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not self.place.shared:
            return [trial for trial in running if is_gone(trial.user_attrs.get("process", ""))]
        stale = set(self.optuna._storage._get_stale_trial_ids(self.optuna._study_id))
        old = datetime.datetime.now() - datetime.timedelta(seconds=max(60, 2 * GRACE * self.beat))
        return [
            trial
            for trial in running
            if trial._trial_id in stale or ("process" not in trial.user_attrs and trial.datetime_start < old)
        ]

    @contextlib.contextmanager
    def _alive(self, asked: optuna.Trial) -> Iterator[None]:
        """Tells the storage every `beat` seconds that the trial's process lives."""
        if not self.place.shared:
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.beat):
                with contextlib.suppress(StorageInternalError):  # it may be back at the next beat
                    self.optuna._storage.record_heartbeat(asked._trial_id)

        self.patiently(self.optuna._storage.record_heartbeat, asked._trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _frozen(self, asked: optuna.Trial) -> FrozenTrial:
        return self.patiently(self.optuna._storage.get_trial, asked._trial_id)


@contextlib.contextmanager
def open_study(
    place: Place,
    name: str,
    key: str,
    space: Space,
    objectives: Mapping[str, Direction],
    *,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    heartbeat: int,
    locks: Path,
    first: Callable[[Study], None] = lambda study: None,
) -> Iterator[Study]:
    """Opens a study, which is made where it is not there.

    Args:
        place: where it is stored.
        name: its name there.
        key: what its trials depend on; a study of that name with another key is refused.
        space: what is drawn.
        objectives: metric -> direction.
        sampler: draws the values.
        pruner: ends trials early.
        heartbeat: seconds between two signs of life, where machines share the storage.
        locks: a folder for lock files.
        first: what else one process at a time does when it opens the study.

    Raises:
        ValueError: if the study has another key, or the storage holds MLflow's tables.
        OSError: if the storage cannot be reached.
    """
    storage = None
    try:
        with initialising(place, locks):
            storage = open_storage(place, heartbeat)
            found = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=list(objectives.values()),
                sampler=sampler,
                pruner=pruner,
                load_if_exists=True,
            )
            study = Study(found, place, space, objectives, heartbeat, lambda: initialising(place, locks))
            known = study.notes().get("mmvid.key")
            if known is None:
                study.note("mmvid.key", key)
            elif known != key:
                raise ValueError(f"study {name} searches another space, or other data or code; give another name")
            first(study)
        yield study
    finally:
        if storage is not None:
            close_storage(storage)
