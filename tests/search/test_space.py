"""The space of a search: what configs state, and what words and files make of it."""

from typing import Literal

import pytest

from mmvid import classifiers
from mmvid.config import Options, option
from mmvid.search.space import Choices, Range, Space
from mmvid.training import TrainConfig

MOE = (classifiers.load("moe").Config, TrainConfig)


class Small(Options):
    """A small config."""

    width: int = option(8, "width", ge=1, search=(1, 64), log=True)
    rate: float = option(0.1, "rate", gt=0, lt=1, search=(0.01, 0.5))
    kind: Literal["a", "b", "c"] = option("a", "kind", search=("a", "b"))
    layers: int = option(1, "layers", ge=1, search=(1, 2, 4))
    parts: tuple[str, ...] = option((), "parts")
    seed: int = option(0, "seed", ge=0)


class Middle:
    """Draws the middle of ranges and the last of choices."""

    def suggest_int(self, name, low, high, *, log=False):
        return (low + high) // 2

    def suggest_float(self, name, low, high, *, log=False):
        return (low + high) / 2

    def suggest_categorical(self, name, choices):
        return choices[-1]


def test_ranges_come_from_the_configs():
    space = Space.of(MOE)
    assert space.drawn["experts"] == Range(1, 16, log=False, whole=True)
    assert space.drawn["learning_rate"] == Range(1e-4, 1e-1, log=True, whole=False)
    assert space.drawn["batch_size"] == Range(64, 1024, log=True, whole=True)
    assert "epochs" not in space.drawn and space.fixed == {}


def test_two_numbers_are_a_range_and_anything_else_is_choices():
    space = Space.of((Small,))
    assert space.drawn["kind"] == Choices(("a", "b")) and space.drawn["layers"] == Choices((1, 2, 4))


def test_words_narrow_widen_and_fix():
    space = Space.of((Small,), "width=16:256:log,kind=a|b|c,rate=0.25,seed=1:9")
    assert space.drawn["width"] == Range(16, 256, log=True, whole=True)
    assert space.drawn["kind"] == Choices(("a", "b", "c"))
    assert space.drawn["seed"] == Range(1, 9, log=False, whole=True)
    assert space.fixed == {"rate": 0.25} and "rate" not in space.drawn
    (config,) = space.build(space.draw(Middle()))
    assert config == Small(width=136, rate=0.25, kind="c", layers=4, seed=5)


def test_a_value_may_have_commas_of_its_own():
    space = Space.of((Small,), "parts=x,y|z,rate=0.2")
    assert space.drawn["parts"] == Choices(("x,y", "z"))
    assert space.build({"parts": "x,y"})[0].parts == ("x", "y")


def test_a_yaml_file_says_the_same_as_words(tmp_path):
    file = tmp_path / "space.yaml"
    # 1e-3 without a point is a word to YAML.
    file.write_text("rate: {low: 1e-3, high: 1e-1, log: true}\nkind: [b, c]\nwidth: 4\nlayers: '1:3'\nparts: [x, y]\n")
    space = Space.of((Small,), str(file))
    words = Space.of((Small,), "rate=1e-3:1e-1:log,kind=b|c,width=4,layers=1:3,parts=x|y")
    assert space == words and space.describe() == words.describe()


def test_what_describe_says_is_read_back():
    space = Space.of((Small,), "width=16:256:log,kind=a|c,rate=0.25")
    said = ",".join(f"{name}={words}" for name, words in space.describe().items())
    assert Space.of((Small,), said) == space


def test_a_grid_has_the_ends_of_each_range():
    grid = Space.of((Small,), "width=1:64:log,kind=a|b,layers=1:2,rate=0.1:0.5").grid(4)
    assert grid["width"] == [1, 4, 16, 64] and grid["layers"] == [1, 2] and grid["kind"] == ["a", "b"]
    assert grid["rate"] == pytest.approx([0.1, 0.2333, 0.3667, 0.5], abs=1e-4) and grid["rate"][-1] == 0.5
    assert len(Space.of(MOE).grid(3)["learning_rate"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("widht=1:2", "^space: there is no option 'widht'; did you mean width\\?$"),
        ("width=0:4", "^space: width must be at least 1, got 0$"),
        ("rate=0.1:2", "^space: rate must be below 1.0, got 2.0$"),
        ("width=4:2", "^space: width must go from low to high, got 4:2$"),
        ("width=1.5:2", "^space: width must go from low to high in whole numbers, got 1.5:2$"),
        ("seed=0:4:log", "^space: seed must start above 0 to be logarithmic, got 0$"),
        ("width=1:4:exp", "^space: width must be low:high or low:high:log, got 1:4:exp$"),
        ("width=eight", "^space: width must be a whole number, got eight$"),
        ("kind=a|d", "^space: kind must be 'a', 'b' or 'c', got d$"),
        ("width", "^space: 'width' must be option=value, or the whole a YAML file's path$"),
        ("width=1,width=2", "^space: width is given twice$"),
        ("rate=0.1:nan", "^space: rate must go from low to high, got 0.1:nan$"),
        ("width=1,rate=0.1,kind=a,layers=1", "^space: every option is fixed; there is nothing to search for$"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        Space.of((Small,), words)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- width\n", "must hold `option: value` lines, got"),
        ("width: [\n", "must be YAML: "),
        ("width: []\n", "^space: width must have at least one choice, got none$"),
        ("kind: {low: 1, high: 2}\n", "^space: kind is not a number, so it has no range; give choices$"),
        ("width: {low: 1}\n", "^space: width must have low, high and perhaps log, got low$"),
        ("width: {low: 1, high: 2, log: often}\n", "^space: log of width must be true or false, got often$"),
        ("width: {low: [1], high: 2}\n", "^space: width must go from low to high in whole numbers"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Space.of((Small,), str(file))
