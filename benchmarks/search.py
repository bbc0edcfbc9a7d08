"""What a trial of a search costs above its training, beside plain Optuna in memory with nothing around it.

    python -m benchmarks.search [--trials 10] [--epochs 20]

All rows train the same setups (logistic regression on made data) in one process, one after another; each is told of
each epoch and may prune, but none does.

    plain      Optuna's own loop, in memory, around `experiment.train`: no run, no checkpoint
    journal    a search with its study in a journal file: MLflow runs with curves on SQLite, checkpoints, heart and all
    sqlite     the same with its study in SQLite
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna

from mmvid.dataset import DataConfig, make_demo, open_dataset
from mmvid.experiment import train
from mmvid.records.demo import DemoConfig
from mmvid.records.store import Store
from mmvid.runs import Command, home
from mmvid.search.session import SearchConfig, Session
from mmvid.search.space import Space
from mmvid.search.storage import locate
from mmvid.search.study import open_study
from mmvid.setups import Setup
from steps.search import Classifying

LIMIT = 0.5  # seconds a trial above its training


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10, help="trials of each row (default 10)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a trial (default 20)")
    options = parser.parse_args(argv)
    with place(), Command() as command:
        make_demo(command, DemoConfig(videos=800, frame_videos=0))
        store = open_dataset(command, DataConfig())
        subject = Classifying("logistic", store)
        space = Space.of(subject.kinds, f"epochs={options.epochs},patience=0")
        plain(store, space, 2)  # first use of everything
        searched(command, subject, space, 2, "first.log")
        rows = {"plain": measured(lambda: plain(store, space, options.trials))}
        for name, storage in (("journal", "journal.log"), ("sqlite", f"sqlite:///{home()}/study.db")):
            rows[name] = measured(lambda storage=storage: searched(command, subject, space, options.trials, storage))
    print(f"{'':8} {'s a trial':>10} {'CPU s':>8} {'above plain':>12} {'CPU s':>8}")
    for name, (seconds, cpu) in rows.items():
        more = [(value - base) / options.trials for value, base in zip((seconds, cpu), rows["plain"], strict=True)]
        each = (seconds / options.trials, cpu / options.trials)
        print(f"{name:8} {each[0]:10.3f} {each[1]:8.3f} {more[0]:12.3f} {more[1]:8.3f}")
    print(f"the limit is {LIMIT} s above the training")


def plain(store: Store, space: Space, trials: int) -> None:
    """Optuna as its documentation shows it."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        model, training = space.build(space.draw(trial))

        def report(metrics: dict[str, float], epoch: int) -> None:
            trial.report(metrics["dev/gap"], epoch)
            trial.should_prune()

        _, fitted = train(Setup("logistic", model, training), store, report=report, progress=False)
        return fitted.history[fitted.best_epoch]["dev/gap"]

    study.optimize(objective, n_trials=trials)


def searched(command: Command, subject: Classifying, space: Space, trials: int, storage: str) -> None:
    """The same trials as a search runs them."""
    config = SearchConfig(model="logistic", trials=trials, sampler="random", pruner="none")
    search = Session(config, subject, space)
    sampler, pruner = search.sampler_and_pruner()
    with (
        command.start(search.task()) as run,
        open_study(
            locate(storage, home()),
            "benchmark",
            "benchmark",
            space,
            search.objectives,
            sampler=sampler,
            pruner=pruner,
            heartbeat=config.heartbeat,
            locks=home() / "locks",
        ) as study,
    ):
        search.run(command, study, run)


def measured(call) -> tuple[float, float]:
    """Wall and CPU seconds of a call, threads included."""
    wall, cpu = time.monotonic(), time.process_time()
    call()
    return time.monotonic() - wall, time.process_time() - cpu


@contextlib.contextmanager
def place() -> Iterator[None]:
    """A folder of its own for data, runs and studies."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["MMVID_HOME"] = str(Path(folder) / "data")
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield
        os.chdir("/")


if __name__ == "__main__":
    main()
