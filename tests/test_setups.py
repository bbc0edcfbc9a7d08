"""What makes two setups the same run."""

import pytest

from mmvid import classifiers
from mmvid.records import ingest
from mmvid.records.demo import DemoConfig, make_demo
from mmvid.records.store import Store
from mmvid.setups import Setup, training_options


@pytest.fixture(scope="module")
def frame_store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("frames")
    make_demo(folder / "demo", DemoConfig(videos=50, frame_videos=50, frames=4, seed=3))
    return ingest.ingest(folder / "demo" / "frame", "demo", folder / "store", progress=False)


@pytest.mark.parametrize("name", ["moe", "dbof"])
def test_all_modalities_named_or_not_are_the_same_run(frame_store, name):
    member = classifiers.load(name)

    def key(*modalities: str) -> str:
        return Setup(name, member.Config(modalities=modalities), training_options(member)()).task(frame_store).key

    assert key() == key("visual", "audio") != key("audio")


def test_a_classifier_of_words_has_no_modalities(frame_store):
    member = classifiers.load("unigram")
    assert "modalities" not in Setup("unigram", member.Config(), training_options(member)()).task(frame_store).options
