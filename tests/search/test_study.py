"""A study: limits, failures, what killed processes leave, two processes, a database that goes away."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import process as beside
import pytest
from optuna.trial import TrialState, create_trial

from mmvid.config import Options, option
from mmvid.search import sampling
from mmvid.search.figures import plots, state_of, table
from mmvid.search.space import Space
from mmvid.search.storage import locate
from mmvid.search.study import open_study
from mmvid.search.trial import Limits, counts, spent

HERE = Path(__file__).parent


class Config(Options):
    """Two numbers."""

    x: float = option(0.0, "x", ge=-1, le=1, search=(-1, 1))
    y: int = option(1, "y", ge=1, search=(1, 3))


SPACE = Space.of((Config,))


def opened(folder, *, sampler="random", pruner="none", seed=0, key="k", objectives=("dev/score",)):
    directions = {"dev/score": "maximize", "size": "minimize"}
    kept = {name: directions[name] for name in objectives}
    return open_study(
        locate(str(folder / "journal.log"), folder),
        "s",
        key,
        SPACE,
        kept,
        sampler=sampling.make_sampler(sampler, SPACE, seed=seed, startup=4, points=3, objectives=len(kept)),
        pruner=sampling.make_pruner(pruner, epochs=9, startup=2, warmup=1, objectives=len(kept)),
        heartbeat=1,
        locks=folder / "locks",
    )


def objective(trial):
    """Better near x = 0; three epochs."""
    for epoch in range(3):
        trial.epoch({"dev/score": epoch - trial.values["x"] ** 2}, epoch)
    return {"dev/score": 2 - trial.values["x"] ** 2, "size": float(trial.values["y"])}


def values(study) -> list[tuple]:
    return [tuple(trial.params.values()) for trial in study.trials()]


def test_a_second_call_continues_to_the_same_trials_as_one(tmp_path):
    for folder, parts in ((tmp_path / "a", (6,)), (tmp_path / "b", (2, 5, 6))):
        for trials in parts:
            with opened(folder, sampler="tpe") as study:
                assert study.run(objective, Limits(trials))
                assert len(study.trials()) == trials
    with opened(tmp_path / "a") as first, opened(tmp_path / "b") as second:
        assert values(first) == values(second) and len(set(values(first))) == 6


def test_another_space_or_data_needs_another_name(tmp_path):
    with opened(tmp_path):
        pass
    with pytest.raises(ValueError, match="^study s searches another space, or other data or code; give another name$"):
        with opened(tmp_path, key="other"):
            pass


def test_the_best_trial_and_the_pareto_front(tmp_path):
    with opened(tmp_path) as study:
        study.run(objective, Limits(8))
        (best,) = study.best()
        assert abs(best.params["x"]) == min(abs(x) for x, _ in values(study))
    with opened(tmp_path / "two", objectives=("dev/score", "size"), sampler="nsga2") as study:
        study.run(objective, Limits(12))
        front = study.best()
        assert front[0].values[0] == max(trial.values[0] for trial in study.trials())
        for trial in study.trials():
            assert any(each.values[0] >= trial.values[0] and each.values[1] <= trial.values[1] for each in front)
        assert {plot.name for plot in plots(study)} >= {"pareto_front", "history", "importances", "slices", "parallel"}


def test_bad_trials_are_pruned(tmp_path):
    def slow(trial):
        for epoch in range(9):
            trial.epoch({"dev/score": -(trial.number) * (epoch + 1)}, epoch)
        return {"dev/score": -trial.number}

    with opened(tmp_path, pruner="median") as study:
        study.run(slow, Limits(6))
        states = [trial.state for trial in study.trials()]
        assert states[:2] == [TrialState.COMPLETE] * 2 and states[2:] == [TrialState.PRUNED] * 4
        assert [len(trial.intermediate_values) for trial in study.trials()] == [9, 9, 2, 2, 2, 2]
        assert spent(study.trials())[0] == 26
        header, rows = table(study)
        assert header == ["trial", "state", "dev/score", "x", "y", "epochs", "seconds", "run"]
        assert [row[1] for row in rows] == ["complete"] * 2 + ["pruned"] * 4


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_other_pruners_prune_too(tmp_path, pruner):
    def slow(trial):
        for epoch in range(9):
            trial.epoch({"dev/score": -trial.number * (epoch + 1.0)}, epoch)
        return {"dev/score": -float(trial.number)}

    with opened(tmp_path, pruner=pruner) as study:
        study.run(slow, Limits(9))
        assert TrialState.PRUNED in [trial.state for trial in study.trials()]


def test_a_budget_of_epochs_is_kept_to_the_epoch(tmp_path):
    with opened(tmp_path) as study:
        assert study.run(objective, Limits(50, epochs=7))
        assert spent(study.trials())[0] == 7
        assert [state_of(trial) for trial in study.trials()] == ["complete", "complete", "pruned"]


def test_a_budget_of_seconds_and_a_timeout_end_a_search(tmp_path):
    def sleepy(trial):
        for epoch in range(3):
            time.sleep(0.1)
            trial.epoch({"dev/score": 0.0}, epoch)
        return {"dev/score": 0.0}

    with opened(tmp_path) as study:
        study.run(sleepy, Limits(50, seconds=0.8))
        assert 0.8 <= spent(study.trials())[1] < 1.5
    with opened(tmp_path / "b") as study:
        assert study.run(sleepy, Limits(50, timeout=0.4))
        assert 1 <= len(study.trials()) <= 3


def test_a_grid_ends_when_every_point_was_tried(tmp_path):
    with opened(tmp_path, sampler="grid") as study:
        assert study.run(objective, Limits(50))
        assert sorted(values(study)) == [(x, y) for x in (-1.0, 0.0, 1.0) for y in (1, 2, 3)]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2"])
def test_every_sampler_draws_new_values(tmp_path, sampler):
    with opened(tmp_path, sampler=sampler) as study:
        study.run(objective, Limits(8))
        # A child of NSGA-II may have all options of one parent.
        assert len({x for x, _ in values(study)}) >= (4 if sampler == "nsga2" else 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sampler": "cmaes", "objectives": ("dev/score", "size")}, "^sampler cmaes serves one objective; take tpe or"),
        (
            {"pruner": "median", "objectives": ("dev/score", "size")},
            "^pruner median judges by one objective; with 2 it",
        ),
    ],
)
def test_what_two_objectives_rule_out(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence), opened(tmp_path, **arguments):
        pass


def test_what_a_resumed_trial_was_given_counts_once_in_a_budget():
    def trial(number, epochs, **attributes):
        told = {epoch: 0.5 for epoch in range(epochs)}
        return create_trial(state=TrialState.PRUNED, intermediate_values=told, user_attrs=attributes)

    first, resumed = trial(0, 5), trial(1, 9, retries=[0], resumed=True)
    assert spent([first, resumed])[0] == 9 and Limits(9, epochs=9).are_spent([first, resumed])
    anew = trial(1, 9, retries=[0])  # on a machine without the checkpoint
    assert spent([first, anew])[0] == 14


def test_a_failed_trial_counts_and_the_search_goes_on(tmp_path):
    def flaky(trial):
        if trial.number == 1:
            raise ValueError("the loss became nan")
        if trial.number == 2:
            return {"dev/score": float("nan")}
        return objective(trial)

    with opened(tmp_path) as study:
        assert study.run(flaky, Limits(4))
        assert [state_of(trial) for trial in study.trials()] == ["complete", "failed", "failed", "complete"]
        assert study.trials()[1].user_attrs["error"] == "the loss became nan"


def test_a_search_whose_first_trials_all_fail_ends(tmp_path):
    def broken(trial):
        raise ValueError("train has no videos")

    with opened(tmp_path) as study:
        with pytest.raises(ValueError, match="^the first 3 trials all failed; the last one: train has no videos$"):
            study.run(broken, Limits(50))


def test_figures_say_what_they_lack(tmp_path):
    with opened(tmp_path) as study:
        study.run(objective, Limits(1))
        assert {plot.lack for plot in plots(study)} == {"it takes two complete trials, there are 1"}
        study.run(objective, Limits(5))
        drawn = {plot.name: plot for plot in plots(study)}
        assert drawn.keys() == {"curves", "history", "importances", "slices", "parallel"}
        assert all(plot.figure is not None and plot.picture is not None for plot in drawn.values())


def process(storage: str, folder: Path, trials: int, seconds: float) -> subprocess.Popen:
    words = [sys.executable, str(HERE / "process.py"), storage, str(folder), str(trials), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_line(started: subprocess.Popen) -> str:
    line = started.stdout.readline()
    assert line, started.stderr.read()
    return line


def addresses(kind: str, folder: Path, request) -> str:
    if kind == "postgresql":
        return request.getfixturevalue("postgres").database()
    return str(folder / "journal.log") if kind == "journal" else f"sqlite:///{folder}/study.db"


def often(*kinds: str) -> list:
    """The storages of a test; those beside `kinds` are tried by `make kills`."""
    every = ("journal", "sqlite", "postgresql")
    return [kind if kind in kinds else pytest.param(kind, marks=pytest.mark.kills) for kind in every]


def shared_objective(seconds: float, begun: list):
    """The objective of process.py, here."""

    def objective(trial):
        begun.append((trial.number, trial.lineage))
        for epoch in range(beside.EPOCHS):
            time.sleep(seconds / beside.EPOCHS)
            trial.epoch({"dev/score": epoch - trial.values["x"] ** 2}, epoch)
        return {"dev/score": beside.EPOCHS - trial.values["x"] ** 2}

    return objective


@pytest.mark.parametrize("kind", often("journal", "postgresql"))
def test_a_trial_of_a_killed_process_is_run_again_and_none_is_lost(kind, tmp_path, request, capsys):
    storage = addresses(kind, tmp_path, request)
    killed = process(storage, tmp_path, 3, 60)
    assert first_line(killed) == "begins 0 0\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    begun = []
    with beside.study(storage, tmp_path) as study:
        assert study.run(shared_objective(0.01, begun), Limits(3))
        trials = study.trials()
    assert "trial 0: its process is gone; it is run again" in capsys.readouterr().err
    assert [state_of(trial) for trial in trials] == ["killed", *["complete"] * 3]
    taken_up = next(trial for trial in trials if trial.user_attrs.get("retries") == [0])
    assert taken_up.params == trials[0].params and (taken_up.number, 0) in begun


@pytest.mark.parametrize("kind", often("postgresql"))
def test_two_processes_share_a_study(kind, tmp_path, request):
    storage = addresses(kind, tmp_path, request)
    other = process(storage, tmp_path, 10, 0.4)
    first_line(other)  # it is at its first trial
    with beside.study(storage, tmp_path) as study:
        ends_it = study.run(shared_objective(0.4, []), Limits(10))
        printed, errors = other.communicate(timeout=600)
        assert other.returncode == 0, errors
        trials = study.trials()
    assert sum(map(counts, trials)) == len(trials)
    assert len(trials) == 10
    assert len({trial.params["x"] for trial in trials}) == len(trials)  # each draws its own
    assert len({trial.user_attrs["process"] for trial in trials}) == 2
    assert ends_it or printed.endswith("ends it\n")


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.kills)])
def test_a_database_that_goes_away_costs_nothing_that_was_done(tmp_path, postgres, capsys, seconds):
    """It is killed while the third trial trains, and comes back from a thread's hand."""
    storage = postgres.database()
    returning = threading.Timer(seconds, postgres.start)
    begun = []

    def objective(trial):
        if len(begun) == 2 and not returning.is_alive():
            postgres.kill()
            returning.start()
        return shared_objective(0.1, begun)(trial)

    try:
        with beside.study(storage, tmp_path) as study:
            assert study.run(objective, Limits(4))
            states = [state_of(trial) for trial in study.trials()]
    finally:
        if returning.ident is not None:
            returning.join()
    assert "does not answer; waiting for it" in capsys.readouterr().err
    assert states.count("complete") == 4 and len(states) <= 5  # the running trial at most
