"""Search for the best options of a model, and train the best as candidates.

    mlflow run . -e search -P model=moe -P trials=50
    mlflow run . -e search -P model=moe -P 'space=learning_rate=1e-4:1e-2:log,experts=4,epochs=20'
    python -m steps.search --model moe --storage postgresql://search@database/optuna

The same command continues a study that was left, and joins it from another process or machine.

Reads  the data set at --data: trials train on train and are judged on dev; gate and validate wait for the candidates.
Logs   a nested run a trial with its curves; the best setup over --seeds as candidates; report.html, pictures, trials.
"""

import contextlib
import statistics
from collections.abc import Mapping
from pathlib import Path

from mmvid import classifiers, experiment
from mmvid.config import Options, flags, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.report import search as report
from mmvid.report.table import markdown
from mmvid.runs import Command, Finished, Run, home
from mmvid.search.session import SearchConfig, Session, find_here
from mmvid.search.space import Space
from mmvid.search.storage import locate
from mmvid.search.study import Direction, Study, open_study
from mmvid.search.subject import Report, Subject
from mmvid.setups import Setup, training_options
from mmvid.textual import TextConfig
from steps.build_text import find_or_build
from steps.train import find_or_train, text_options


def main(argv: list[str]) -> None:
    config, text, data = parse(argv, SearchConfig, TextConfig, DataConfig, about=__doc__)
    with Command() as command:
        place = locate(config.storage, home() / "studies" / "journal.log")  # a mistake in it is told before any work
        subject = find_subject(command, config.model, data, text)
        space = Space.of(subject.kinds, config.space)
        search = Session(config, subject, space)
        task = search.task()
        with contextlib.ExitStack() as stack:
            parents: list[Run] = []

            def enter(study: Study) -> None:
                """One parent run for all processes; one at a time looks for it."""
                again = find_here(study.notes().get("run"))
                parents.append(stack.enter_context(command.start(task, own=True, again=again)))
                study.note("run", parents[0].id)

            sampler, pruner = search.sampler_and_pruner()
            study = stack.enter_context(
                open_study(
                    place,
                    config.study or f"{config.model}-{task.key[:12]}",
                    task.key,
                    space,
                    search.objectives,
                    sampler=sampler,
                    pruner=pruner,
                    heartbeat=config.heartbeat,
                    locks=home() / "locks",
                    first=enter,
                )
            )
            print(_perform(command, search, study, parents[0]))


def _perform(command: Command, search: Session, study: Study, run: Run) -> str:
    """Runs trials, and then what comes at the end, unless another process does it; says what came of it."""
    if not search.run(command, study, run):
        return f"study {study.name}: other processes are at it still; the last one trains the candidates"
    if not study.best():
        return f"study {study.name}: no trial is complete yet; the same command goes on\nrun {run.id}"
    return conclude(command, study, run, search.subject, search.config)


class Classifying:
    """The search's view of a classifier on a data set."""

    measures: Mapping[str, tuple[str, Direction]] = {
        **{name: (f"dev/{name}", "maximize") for name in ("gap", "map", "hit_at_1", "perr")},
        "parameters": ("parameters", "minimize"),
    }

    def __init__(self, name: str, store: Store, textset: TextSet | None = None):
        member = classifiers.load(name)
        self.name, self.store, self.textset, self.title = name, store, textset, store.title
        self.kinds = (member.Config, training_options(member))
        self.inputs = {"data": store.digest} | ({} if textset is None else {"text": textset.digest})
        self.modules = ("mmvid.experiment", f"mmvid.classifiers.{name}")
        experiment.check_splits(store, ("train", "dev"))

    @classmethod
    def open(cls, command: Command, name: str, data: DataConfig, text: TextConfig) -> "Classifying":
        """On the data set at `data`, with its text set where the classifier reads text; made where they are not."""
        store = open_dataset(command, data)
        reads_text = text_options(classifiers.load(name)) is not None
        return cls(name, store, find_or_build(command, store, text) if reads_text else None)

    def train(self, options: tuple[Options, ...], *, report: Report, checkpoints: Path) -> dict[str, float]:
        setup = Setup(self.name, *options)
        model, fitted = experiment.train(
            setup, self.store, self.textset, report=report, checkpoints=checkpoints, progress=False
        )
        size = sum(parameter.numel() for parameter in model.parameters())
        return fitted.history[fitted.best_epoch] | {"parameters": float(size)}

    def candidate(self, command: Command, options: tuple[Options, ...]) -> Finished:
        return find_or_train(command, Setup(self.name, *options), self.store, self.textset)


SUBJECTS = {classifiers: Classifying}  # a catalogue and how its members are searched


def find_subject(command: Command, name: str, data: DataConfig, text: TextConfig) -> Subject:
    """The subject of a model, whichever catalogue it is in, on its data."""
    for catalogue, subject in SUBJECTS.items():
        if name in catalogue.names():
            return subject.open(command, name, data, text)
    known = ", ".join(each for catalogue in SUBJECTS for each in catalogue.names())
    raise ValueError(f"unknown model {name!r}; there are {known}")


def conclude(command: Command, study: Study, run: Run, subject: Subject, config: SearchConfig) -> str:
    """Logs figures and tables, trains the best setup over the seeds, the defaults beside it, and sums up."""
    best, *_ = study.best()
    found = report.log_study(study, run, f"{subject.name} on {subject.title}")
    setups = {"best": (study.space, best.params)}
    if config.baseline:
        setups["default"] = (Space(subject.kinds, {}, study.space.fixed), {})
    metrics = [f"validate/{name.removeprefix('dev/')}" for name in study.objectives if name.startswith("dev/")]
    rows = []
    seeded = any("seed" in flags(kind) for kind in subject.kinds)
    seeds = config.seeds if seeded else config.seeds[:1]  # what is counted comes out the same with any seed
    for setup, (space, values) in setups.items():
        trained = [subject.candidate(command, space.build(values, seed=seed)) for seed in seeds]
        for seed, finished in zip(seeds, trained, strict=True):
            Run(finished.id).tags({"mmvid.search.run": run.id})
            rows.append([setup, str(seed), *(finished.metrics[name] for name in metrics), finished.id])
        for name in metrics if trained else []:
            values_of = [finished.metrics[name] for finished in trained]
            mean, spread = statistics.fmean(values_of), statistics.stdev(values_of) if len(trained) > 1 else 0.0
            run.report({f"{setup}/{name}": mean, f"{setup}/{name}_spread": spread})
            found += f"\n{setup}: {name} {mean:.4f} ± {spread:.4f} over {len(trained)} seeds"
    candidates = markdown(["setup", "seed", *metrics, "run"], rows) if rows else ""
    run.text("candidates.md", candidates)
    run.describe(f"{found}\n\n{candidates}\n{study.dashboard()}")
    return f"{found}\n\n{candidates}\n{study.dashboard()}\nrun {run.id}"


if __name__ == "__main__":
    run_command(main)
