"""One command's search: its options, one run a trial below the search's run, and what it says meanwhile."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from mmvid import runs
from mmvid.config import Options, option
from mmvid.runs import Command, Run, Task, home
from mmvid.search import sampling
from mmvid.search.figures import state_of
from mmvid.search.space import Space
from mmvid.search.storage import VARIABLE
from mmvid.search.study import Study
from mmvid.search.subject import Subject
from mmvid.search.trial import RESUMED, Limits, Pruned, Taken, Trial, counts

CURVE_SECONDS = 2  # a call of the tracking server takes as long as a quick epoch


class SearchConfig(Options):
    """The search."""

    model: str = option("moe", "a model of the catalogue")
    trials: int = option(50, "trials of the study, all processes and earlier calls together", ge=1, decides=False)
    space: str = option("", "ranges, choices, fixed values (a=1:9,b=x|y,c=2) or a YAML file; none: the options' own")
    objectives: tuple[str, ...] = option(("gap",), "what a trial is judged by on dev; two make a Pareto front")
    sampler: sampling.Sampler = option("tpe", "draws the options", decides=False)
    pruner: sampling.Pruner = option("auto", "ends trials early; auto: median with one objective", decides=False)
    startup: int = option(8, "trials before sampler and median know enough; NSGA-II's population", ge=1, decides=False)
    warmup: int = option(2, "epochs of a trial before it may be pruned", ge=0, decides=False)
    grid_points: int = option(3, "values of a range on the sampler's grid", ge=1, decides=False)
    seed: int = option(0, "seed of the sampler", ge=0, decides=False)
    timeout: float = option(0, "seconds after which this command starts no further trial; 0: none", ge=0, decides=False)
    budget_epochs: int = option(0, "epochs of all trials together; 0: no limit", ge=0, decides=False)
    budget_seconds: float = option(0, "seconds of training of all trials together; 0: none", ge=0, decides=False)
    seeds: tuple[int, ...] = option((0, 1, 2), "the best setup is trained once with each", decides=False)
    baseline: bool = option(False, "train the defaults with the same seeds, beside the best", decides=False)
    storage: str = option(
        "", f"journal file, sqlite:/// or postgresql://; none: ${VARIABLE}, else a file", decides=False
    )
    study: str = option("", "its name in the storage; none: model, data set and a digest", decides=False)
    heartbeat: int = option(10, "seconds between signs of life to PostgreSQL", ge=1, decides=False)


class Session:
    """One command's search."""

    def __init__(self, config: SearchConfig, subject: Subject, space: Space):
        self.config, self.subject, self.space = config, subject, space
        for word in config.objectives:
            if word not in subject.measures:
                raise ValueError(f"objectives must be of {', '.join(subject.measures)}, got {word}")
        if len(set(config.objectives)) != len(config.objectives) or not config.objectives:
            raise ValueError(f"objectives must be one or more different words, got {','.join(config.objectives)}")
        self.objectives = dict(subject.measures[word] for word in config.objectives)
        if len(self.objectives) == 1 and not next(iter(self.objectives)).startswith("dev/"):
            raise ValueError(f"objectives must have one that is measured on dev, got {config.objectives[0]} alone")

    def task(self) -> Task:
        """What makes the study: its trials can be compared as long as the key is the same."""
        options = {"model": self.config.model, "space": self.space.describe(), "objectives": list(self.objectives)}
        name = f"search {self.config.model} on {self.subject.title}"
        return Task("search", options, self.subject.inputs, self.subject.modules, name=name)

    def sampler_and_pruner(self) -> tuple[Any, Any]:
        config, count = self.config, len(self.objectives)
        sampler = sampling.make_sampler(
            config.sampler,
            self.space,
            seed=config.seed,
            startup=config.startup,
            points=config.grid_points,
            objectives=count,
        )
        epochs = max((getattr(options, "epochs", 1) for options in self.space.build({})), default=1)
        pruner = sampling.make_pruner(
            config.pruner, epochs=epochs, startup=config.startup, warmup=config.warmup, objectives=count
        )
        return sampler, pruner

    def run(self, command: Command, study: Study, run: Run) -> bool:
        """Runs trials until the study is full; whether this process is to finish the search."""
        run.params(self.config.model_dump(exclude={"storage"}) | {"storage": study.place})
        run.json("space.json", self.space.describe())
        run.describe(study.dashboard())
        limits = Limits(self.config.trials, self.config.timeout, self.config.budget_epochs, self.config.budget_seconds)
        progress = Progress(study, run, limits.trials)

        def abandoned(trial: Any) -> None:
            if found := find_here(trial.user_attrs.get("run")):
                command.client.set_terminated(found, "KILLED")

        def objective(trial: Trial) -> dict[str, float]:
            return self.try_one(command, study, trial)

        try:
            return study.run(objective, limits, abandoned=abandoned, after=progress)
        finally:
            progress.bar.close()

    def try_one(self, command: Command, study: Study, trial: Trial) -> dict[str, float]:
        """One trial as a run below the search's."""
        key = study.notes()["mmvid.key"]
        checkpoints = home() / "checkpoints" / f"search-{key[:12]}-{study.name}-{trial.lineage}"
        task = Task("trial", trial.values, self.subject.inputs, self.subject.modules, name=f"trial {trial.number}")
        cut: Exception | None = None
        with command.start(task, system_metrics=False) as run:
            trial.note("run", run.id)
            if (checkpoints / "last.ckpt").exists():
                trial.note(RESUMED, True)
            with curves_of(run) as curves:

                def report(metrics: dict[str, float], epoch: int) -> None:
                    curves(metrics, epoch)
                    trial.epoch(metrics, epoch)

                try:
                    options = self.space.build(trial.values)
                    metrics = self.subject.train(options, report=report, checkpoints=checkpoints)
                    curves({f"best/{name}": metrics[name] for name in self.objectives}, 0)
                except (Pruned, Taken) as ended:  # no mistake: the run is finished, as far as it goes
                    cut = ended
            ending = {} if cut is None else {"mmvid.search.cut": trial.pruned_by or str(cut)}
            run.tags({"mmvid.search.study": study.name, "mmvid.search.trial": trial.number} | ending)
        if not isinstance(cut, Taken):  # else it is the other's
            shutil.rmtree(checkpoints, ignore_errors=True)
        if cut is not None:
            raise cut
        return metrics


@contextlib.contextmanager
def curves_of(run: Run) -> Iterator[Callable[[dict[str, float], int], None]]:
    """A `report` for quick epochs: what has gathered is sent every `CURVE_SECONDS`, the rest at the end."""
    gathered: list[tuple[dict[str, float], int, float]] = []
    sent = time.time()

    def report(metrics: dict[str, float], epoch: int) -> None:
        nonlocal sent
        gathered.append((metrics, epoch, time.time()))
        if time.time() - sent >= CURVE_SECONDS:
            run.report_all(gathered)
            gathered.clear()
            sent = time.time()

    try:
        yield report
    finally:
        run.report_all(gathered)


def find_here(run_id: str | None) -> str | None:
    """A run's id, where this command can log to it: it is on this server, in this experiment, not deleted."""
    if run_id is None:
        return None
    for found in runs.search(f"attributes.run_id = '{run_id}'", limit=1):
        experiment = found.run.info.experiment_id
        return run_id if os.environ.get("MLFLOW_EXPERIMENT_ID", experiment) == experiment else None
    return None


class Progress:
    """Tells of each trial and the best so far: a bar on a terminal, a line elsewhere, a curve on the search's run."""

    def __init__(self, study: Study, run: Run, total: int):
        self.study, self.run = study, run
        done = sum(counts(trial) for trial in study.trials())
        self.bar = tqdm(
            total=max(total, done), initial=done, unit="trial", disable=not sys.stderr.isatty(), dynamic_ncols=True
        )

    def __call__(self, trial: Any) -> None:
        best = self.study.best()
        name = next(iter(self.study.objectives))
        curves = {"search/seconds": trial.user_attrs.get("spent", [0, 0.0])[1]}
        if trial.values:
            curves["search/value"] = trial.values[0]
        leading = ""
        if best:
            curves["search/best"] = best[0].values[0]
            leading = f"best {name} {best[0].values[0]:.4f} in trial {best[0].number}"
        self.run.report(curves, trial.number)
        done = sum(counts(each) for each in self.study.trials())
        self.bar.set_postfix_str(leading, refresh=False)
        self.bar.update(done - self.bar.n)
        if self.bar.disable:
            value = f"{name} {trial.values[0]:.4f}" if trial.values else trial.user_attrs.get("error", "")
            ended = f"trial {trial.number} ({done} of {self.bar.total}) {state_of(trial)}: {value}"
            sys.stderr.write(f"{ended}; {leading}\n" if leading else f"{ended}\n")
