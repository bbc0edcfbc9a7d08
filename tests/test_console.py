"""How a command ends: sentences, statuses, signals."""

import os
import signal
import sys

import pytest

from mmvid.console import Stopped, run_command, shielded, stoppable


def test_a_signal_is_raised_where_it_comes():
    with stoppable(), pytest.raises(Stopped, match="^SIGTERM$"):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not raised")


def test_a_shielded_block_ends_before_the_signal_is_raised():
    done = []
    with stoppable(), pytest.raises(Stopped, match="^SIGTERM$"):
        with shielded():
            with shielded():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        raise AssertionError("the signal was not raised")
    assert done == ["inner", "outer"]


def test_handlers_are_those_from_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("experts must be at least 1"), 1, "error: experts must be at least 1\n"),
        (OSError("disk full"), 1, "error: disk full\n"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM\n"),
        (Stopped(signal.SIGINT), 130, "stopped by SIGINT\n"),
    ],
)
def test_errors_are_one_sentence_and_a_status(error, status, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["step"])
    monkeypatch.delenv("MMVID_TRACEBACK", raising=False)

    def main(words):
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert (ended.value.code, capsys.readouterr().err) == (status, said)


def test_our_own_mistakes_show_their_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["step"])
    with pytest.raises(KeyError):
        run_command(lambda words: {}["nothing"])
