"""Aliases under promotions at once and under kill -9, with real processes on SQLite and PostgreSQL."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient, MlflowException

from mmvid.registry import claim, versions
from mmvid.registry.claim import claimed

# Waits for the word to go, so that all processes are there at once.
CROWN = """
import sys
from mmvid.registry import versions
print("ready", flush=True)
sys.stdin.readline()
print(versions.crown(sys.argv[1], sys.argv[2], expected=sys.argv[3] or None), flush=True)
"""
# Is killed in the middle: when the alias named last is about to be moved.
CUT_OFF = """
import os, signal, sys
from mlflow import MlflowClient
from mmvid.registry import versions
move = MlflowClient.set_registered_model_alias
def cut(self, name, alias, version):
    if alias == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)
    move(self, name, alias, version)
MlflowClient.set_registered_model_alias = cut
versions.crown(sys.argv[1], sys.argv[2], expected=sys.argv[3] or None)
"""


@pytest.fixture
def model(registry, workplace):
    """A registered model with four versions and no alias, of a name of its own."""
    name = f"net-{workplace.name}"
    registry.create_registered_model(name)
    for _ in range(4):
        registry.create_model_version(name, f"{workplace}/nothing")
    return name


def aliases(name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in MlflowClient().get_registered_model(name).aliases.items()}


def names(name: str) -> list[str]:
    """The registered models whose names begin so: the model itself, and claims on it."""
    found = [model.name for model in MlflowClient().search_registered_models()]
    return [each for each in found if each.startswith(name)]


def test_a_champion_is_crowned_only_if_nothing_changed_meanwhile(model):
    assert versions.crown(model, "1", expected=None) and aliases(model) == {"champion": "1"}
    assert not versions.crown(model, "2", expected=None)
    assert versions.crown(model, "2", expected="1")
    assert aliases(model) == {"champion": "2", "previous": "1"}
    assert versions.crown(model, "2", expected="2") and aliases(model) == {"champion": "2", "previous": "1"}
    assert versions.roll_back(model) == ("2", "1")
    assert aliases(model) == {"champion": "1", "previous": "2"}
    assert names(model) == [model] and MlflowClient().get_registered_model(model).tags == {}


def test_of_promotions_at_once_exactly_one_wins(model):
    """Threads with connections of their own: nothing but the registry keeps promotions apart."""
    assert versions.crown(model, "1", expected=None)
    together = threading.Barrier(3)

    def crown(version: str) -> bool:
        together.wait()
        return versions.crown(model, version, expected="1", client=MlflowClient())

    with ThreadPoolExecutor(3) as pool:
        said = dict(zip("234", pool.map(crown, "234"), strict=True))
    (won,) = [version for version, crowned in said.items() if crowned]
    assert aliases(model) == {"champion": won, "previous": "1"} and names(model) == [model]


@pytest.mark.kills
def test_of_processes_that_promote_at_once_exactly_one_wins(model, start):
    assert versions.crown(model, "1", expected=None)
    racers = [start(CROWN, model, version, "1") for version in ("2", "3", "4")]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=600) for racer in racers]
    won = [version for version, (out, _) in zip(("2", "3", "4"), said, strict=True) if out == "True\n"]
    assert len(won) == 1 and [out for out, _ in said].count("False\n") == 2, said
    assert aliases(model) == {"champion": won[0], "previous": "1"} and names(model) == [model]


@pytest.mark.slow
def test_a_promotion_killed_between_its_moves_is_ended_by_the_next_call(model, start, capsys):
    assert versions.crown(model, "1", expected=None)
    killed = start(CUT_OFF, model, "2", "1", "champion")
    assert killed.wait(120) == -signal.SIGKILL
    assert aliases(model) == {"champion": "1", "previous": "1"} and len(names(model)) == 2  # the claim is still there

    started = time.monotonic()
    sentence = versions.repair(model)
    assert time.monotonic() - started < claim.LEASE / 2  # its holder ran here and is gone: nobody waits for the lease
    assert (
        sentence
        == f"{model}: a move of aliases that was cut off is ended: previous is version 1, champion is version 2"
    )
    assert aliases(model) == {"champion": "2", "previous": "1"} and names(model) == [model]
    assert versions.repair(model) is None
    assert "the process that was moving its aliases is gone" in capsys.readouterr().err
    assert not versions.crown(model, "3", expected="1")  # it was decided against version 1


def test_a_claim_of_a_silent_machine_is_taken_over_after_its_lease(model, monkeypatch):
    monkeypatch.setattr(claim, "this_process", lambda: "elsewhere:1:1")
    silent = claimed(MlflowClient(), model)
    held = silent.__enter__()
    held.check()
    monkeypatch.undo()
    started = time.monotonic()
    with claimed(MlflowClient(), model, lease=1.0) as ours:
        assert time.monotonic() - started >= 1.0
        ours.check()
        with pytest.raises(OSError, match=": this process stood still for so long that another took over"):
            held.check()
        silent.__exit__(None, None, None)  # it wakes up: the claim of the other stays
        ours.check()
    assert names(model) == [model]


def test_a_promotion_cut_off_before_its_first_move_is_ended_too(model):
    assert versions.crown(model, "1", expected=None)
    MlflowClient().set_registered_model_tag(model, versions.INTENT, '{"previous": "1", "champion": "2"}')
    assert not versions.crown(model, "3", expected="1")  # the call that comes next ends it first
    assert aliases(model) == {"champion": "2", "previous": "1"}


def test_a_version_that_is_gone_does_not_block_the_model(model):
    assert versions.crown(model, "1", expected=None)
    MlflowClient().set_registered_model_tag(model, versions.INTENT, '{"previous": "1", "champion": "9"}')
    assert "cannot be ended, a version is gone" in versions.repair(model)
    assert versions.crown(model, "2", expected="1") and aliases(model)["champion"] == "2"


def test_a_model_that_is_not_there_has_no_aliases(registry):
    assert versions.aliased("nobody", "champion") is None and versions.repair("nobody") is None
    with pytest.raises(ValueError, match="^nobody must have a champion and a previous version to roll back"):
        versions.roll_back("nobody")
    with pytest.raises(MlflowException):
        registry.get_registered_model("nobody.claim")
