"""Options, flags and their one-sentence errors."""

import types
from typing import Literal

import pytest
from pydantic import ValidationError

from mmvid.config import Options, deciding, flags, option, parse, with_defaults


class Model(Options):
    """A model."""

    experts: int = option(2, "experts for each class", ge=1, search=(1, 16))
    lr: float = option(0.1, "learning rate", gt=0)
    pool: Literal["max", "mean"] = option("max", "pooling")
    modalities: tuple[str, ...] = option((), "modalities")
    limit: int | None = option(None, "a limit")
    force: bool = option(False, "again", decides=False)
    schema_name: str = option("", "schema", alias="schema")


class Other(Options):
    """Another."""

    lr: float = option(1.0, "the same name")


CATALOGUE = types.SimpleNamespace(
    names=lambda: ["logistic", "moe"], load=lambda name: types.SimpleNamespace(Config=Model)
)


def test_words_become_values():
    words = "--experts 8 --lr=1e-3 --pool mean --modalities visual,audio --force True --limit 5 --schema x".split()
    (config,) = parse(words, Model, about="")
    assert config == Model(
        experts=8, lr=0.001, pool="mean", modalities=("visual", "audio"), force=True, limit=5, schema="x"
    )


def test_empty_words_are_nothing():
    (config,) = parse(["--limit", "", "--modalities", "", "--schema", ""], Model, about="")
    assert config == Model()


def test_a_catalogue_takes_the_first_word():
    name, config = parse(["moe", "--experts", "3"], CATALOGUE, about="")
    assert name == "moe" and config.experts == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--experts 0", "experts must be at least 1, got 0"),
        ("--experts 2.5", "experts must be a whole number, got 2.5"),
        ("--experts", "argument --experts: expected one argument"),
        ("--lr 0", "lr must be above 0.0, got 0"),
        ("--lr nan", "lr must be a finite number, got nan"),
        ("--lr fast", "lr must be a number, got fast"),
        ("--pool sum", "pool must be 'max' or 'mean', got sum"),
        ("--force perhaps", "force must be True or False, got perhaps"),
        ("--expert 8", "unknown option --expert; did you mean --experts?"),
        ("--expert=8", "unknown option --expert; did you mean --experts?"),
        ("--experts 1 --experts 2", "--experts is given twice"),
        ("8", "unexpected word '8': options are given as --name value"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(words, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words.split(), Model, about="")
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the first word must be one of logistic, moe"),
        (["mo"], "unknown name 'mo'; did you mean moe?; there are logistic, moe"),
    ],
)
def test_a_wrong_member_is_one_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit):
        parse(words, CATALOGUE, about="")
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_help_shows_every_option_with_default_and_range(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["moe", "--help"], CATALOGUE, about="Train one classifier.")
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert "Train one classifier." in shown
    assert "experts for each class (default 2; search 1..16)" in " ".join(shown.split())
    assert all(f"--{flag}" in shown for flag in ("lr", "pool", "modalities", "force", "schema"))


def test_configs_are_frozen_and_checked_when_made():
    with pytest.raises(ValidationError, match="frozen"):
        Model().experts = 4
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Model(experts=0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Model(expert=1)


def test_two_configs_with_one_name_are_refused():
    with pytest.raises(ValueError, match="^two configs of .* state the option 'lr'; rename one of them$"):
        parse([], Model, Other, about="")


def test_what_decides_no_result_stays_out_of_the_key():
    assert "force" not in deciding(Model(force=True))
    assert deciding(Model(schema="x"))["schema"] == "x"


def test_a_member_says_which_options_come_with_it(capsys):
    def rate(member):
        return with_defaults(Other, {"lr": 0.5}) if hasattr(member, "fast") else None

    members = {
        "plain": types.SimpleNamespace(Config=Options),
        "quick": types.SimpleNamespace(Config=Options, fast=True),
    }
    catalogue = types.SimpleNamespace(names=lambda: list(members), load=members.get)
    assert parse(["plain"], catalogue, rate, about="") == ("plain", Options(), None)
    assert parse(["quick"], catalogue, rate, about="")[2].lr == 0.5
    assert parse(["quick", "--lr", "2"], catalogue, rate, about="")[2].lr == 2
    with pytest.raises(SystemExit):
        parse(["plain", "--lr", "2"], catalogue, rate, about="")
    assert capsys.readouterr().err == "error: unknown option --lr\n"


def test_other_defaults_keep_checks_and_help(capsys):
    kind = with_defaults(Model, {"experts": 7, "limit": 3})
    assert kind().experts == 7 and kind().lr == 0.1 and isinstance(kind(), Model)
    assert flags(kind)["experts"].description == "experts for each class" and list(flags(kind)) == list(flags(Model))
    assert deciding(kind()) == deciding(Model(experts=7, limit=3))
    with pytest.raises(ValidationError):
        kind(experts=0)
    with pytest.raises(SystemExit):
        parse(["--help"], kind, about="")
    assert "experts for each class (default 7; search 1..16)" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ValueError, match="^Model has no option 'expert' to give a default for$"):
        with_defaults(Model, {"expert": 1})
    assert with_defaults(Model, {}) is Model
