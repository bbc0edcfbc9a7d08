"""Presets: the paper's sizes by their numbers of parameters, and what is given before what a preset says."""

import pytest
import torch

from mmvid import classifiers
from mmvid.config import Preset, deciding
from mmvid.records.batches import Shapes
from mmvid.setups import given_training, settled_training, training_options

SIZES = {"visual": 1024, "audio": 128}
PAPER = Shapes(classes=4716, features=SIZES, frames=SIZES)
WITH_PRESETS = [name for name in classifiers.names() if issubclass(classifiers.load(name).Config, Preset)]
TUNED = [name for name in WITH_PRESETS if hasattr(classifiers.load(name), "TRAINING_PRESETS")]


# Millions of parameters, computed by hand from the paper's sizes: 1152 inputs, 4716 classes; those of batch
# normalisation, at most 0.04, are left out.
@pytest.mark.parametrize(
    ("name", "preset", "millions"),
    [
        ("moe", "moe_a", 92.4),
        ("moe", "moe_b", 353.3),
        ("dbof", "dbof_a", 42.0),
        ("dbof", "dbof_b", 371.2),
        ("lstm", "lstm_a", 41.5),
        ("lstm", "lstm_b", 31.5),
    ],
)
def test_the_papers_models_have_the_papers_size(name, preset, millions):
    member = classifiers.load(name)
    with torch.device("meta"):
        model = member.Model(member.Config(preset=preset), PAPER)
    trained = {name: each.numel() for name, each in model.named_parameters() if each.requires_grad}
    count = sum(numbers for name, numbers in trained.items() if "norm" not in name)
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("name", WITH_PRESETS)
def test_a_preset_decides_what_has_no_default_and_nothing_else(name):
    kind = classifiers.load(name).Config
    open_options = {option for option, field in kind.model_fields.items() if field.default is None}
    names = set(kind.model_fields["preset"].annotation.__args__)
    assert names == kind.presets.keys()
    assert all(values.keys() == open_options for values in kind.presets.values())


def test_what_is_given_goes_before_the_preset_and_the_empty_word_is_not_given():
    config = classifiers.load("dbof").Config(preset="dbof_a", hidden="64", samples="", dropout=None)
    assert (config.projection, config.hidden, config.samples, config.dropout) == (8192, 64, 30, 0.0)


def test_the_numbers_decide_a_run_not_the_presets_name():
    kind = classifiers.load("moe").Config
    assert deciding(kind(preset="moe_a")) == deciding(kind(experts=8)) != deciding(kind())
    assert kind.model_validate(kind(preset="moe_b").model_dump()).experts == 32


@pytest.mark.parametrize("name", TUNED)
def test_a_preset_decides_training_that_is_not_given_and_other_presets_keep_the_defaults(name):
    member = classifiers.load(name)
    given, default = given_training(member), training_options(member)()
    decided = member.TRAINING_PRESETS["audioset"]
    assert {option for option, field in given.model_fields.items() if field.default is None} == decided.keys()
    settled = settled_training(member, member.Config(preset="audioset"), given(batch_size=77, decay=0.9, seed="3"))
    expected = default.model_dump() | decided | {"batch_size": 77, "decay": 0.9, "seed": 3}
    assert settled.model_dump() == expected
    assert settled_training(member, member.Config(), given()).model_dump() == default.model_dump()
