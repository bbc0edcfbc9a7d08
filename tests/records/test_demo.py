"""The made demo data: the same bytes everywhere, real formats, and the properties that later parts lean on."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmvid.draws import Draws
from mmvid.records.demo import DemoConfig, is_made, make_demo
from mmvid.records.made.collection import Collection
from mmvid.records.made.features import AUDIO, VISUAL
from mmvid.records.made.labels import LabelDraws, shares
from mmvid.records.made.words import LABELS, LANGUAGES, LINKS, TOPICS
from mmvid.records.schema import load_schema
from mmvid.records.text import TextIndex
from mmvid.records.vocabulary import read_vocabulary

SMALL = DemoConfig(videos=120, frame_videos=60, frames=5, shards=2, seed=3)
VIDEOS = 5000


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "demo"
    make_demo(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def made() -> list:
    return list(Collection(seed=0).videos(0, VIDEOS))


def read(folder: Path) -> dict[str, list]:
    schema = load_schema("demo")
    return {
        split: [video for path in sorted((folder / split).iterdir()) for video in schema.read(path)]
        for split in ("train", "validate", "test")
    }


def digest(folder: Path) -> str:
    """A digest of the names and bytes of all files but the two that describe the rest."""
    total = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder):
        total.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return total.hexdigest()


def test_same_bytes_everywhere(small):
    # Whoever changes what is made changes this digest and raises demo.GENERATOR with it.
    assert digest(small) == "b3c04f0255435fce1863870824268ade"


def test_another_seed_makes_other_data(small, tmp_path):
    make_demo(tmp_path / "demo", SMALL.model_copy(update={"seed": 4}))
    ours = {video.id: video for video in read(small / "video")["train"]}
    theirs = read(tmp_path / "demo" / "video")["train"]
    assert not any(video.id in ours for video in theirs)
    assert not np.array_equal(theirs[0].features["visual"], read(small / "video")["train"][0].features["visual"])


def test_draws_are_the_bits_of_philox():
    hashed = hashlib.blake2b(b"7/purpose/2", digest_size=16).digest()
    raw = np.random.Philox(key=np.frombuffer(hashed, "<u8")).random_raw(3)
    expected = []
    for word in raw.tolist():
        for half in (word & 0xFFFFFFFF, word >> 32):
            expected.append(sum(half.to_bytes(4, "little")) - 510)
    assert Draws(7, "purpose", 2).bells(5).tolist() == expected[:5]
    assert Draws(7, "purpose", 2).integers(10, 3).tolist() == [(word >> 32) * 10 >> 32 for word in raw.tolist()]


def test_draws_cover_their_range_evenly():
    draws = Draws(0, "range")
    counts = np.bincount([draws.below(7) for _ in range(7000)], minlength=7)
    assert counts.min() > 880 and counts.max() < 1120
    bells = draws.bells(200_000)
    assert abs(bells.mean()) < 1.5 and bells.var() == pytest.approx(21845, rel=0.02)
    items = list(range(20))
    draws.shuffle(items)
    assert sorted(items) == list(range(20)) != items


def test_files_fit_the_schema(small):
    for level, counts in (("video", (84, 24, 12)), ("frame", (42, 12, 6))):
        splits = read(small / level)
        assert tuple(len(videos) for videos in splits.values()) == counts
        ids = [video.id for videos in splits.values() for video in videos]
        assert len(set(ids)) == len(ids) and all(len(id) == 4 and id.isalnum() for id in ids)
        assert all(video.labels is None for video in splits["test"])
        assert all(1 <= len(video.labels) <= 5 for video in splits["train"] + splits["validate"])
        for videos in splits.values():
            assert {video.features["visual"].shape for video in videos} == {(1024,)}
            assert {video.features["audio"].shape for video in videos} == {(128,)}
        assert sorted(path.name for path in (small / level / "train").iterdir()) == [
            "train0000.tfrecord",
            "train0001.tfrecord",
        ]


def test_frame_level_is_the_first_videos_again(small):
    by_level = {level: read(small / level) for level in ("video", "frame")}
    for split, framed in by_level["frame"].items():
        for video, whole in zip(framed, by_level["video"][split], strict=False):
            assert video.id == whole.id
            assert split == "test" or np.array_equal(video.labels, whole.labels)
            for modality in ("visual", "audio"):
                frames = video.frames[modality]
                assert frames.dtype == np.uint8 and 3 <= len(frames) == video.num_frames <= 5
                gap = video.features[modality] - whole.features[modality]
                # what is left is the cut to the range of a byte, more of it where features are large
                assert np.sqrt(np.mean(gap**2)) < 0.15 * np.std(whole.features[modality])


def test_frames_change_slowly():
    collection = Collection(seed=0)
    made = next(collection.videos(0, 1))
    video = collection.with_frames(made, 300)
    assert 150 <= video.num_frames <= 300
    frames = video.frames["visual"].astype(np.float64)
    wander = frames - frames.mean(axis=0)
    near, far = ((wander[:-lag] * wander[lag:]).mean() / (wander**2).mean() for lag in (1, 60))
    assert near > 0.2 and abs(far) < 0.05


def test_vocabulary_and_text_are_read_as_those_of_a_real_data_set(small):
    names = read_vocabulary(small / "video" / "vocabulary.csv", 100)
    assert names == [label.name for label in LABELS]
    assert len(set(names)) == 99 and names.count("Jaguar") == 2
    labels = np.concatenate([video.labels for video in read(small / "video")["train"]])
    rows = (small / "video" / "vocabulary.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[1]) for row in rows] == np.bincount(labels, minlength=100).tolist()

    index = TextIndex.build(small / "video" / "text.jsonl")
    videos = [video for videos in read(small / "video").values() for video in videos]
    texts = [text for video in videos if (text := index.find(video.id)) is not None]
    assert len(texts) == len(index)
    counted = json.loads((small / "demo.json").read_text())["summary"]["text"]
    assert counted == {
        "keywords": sum(text.keywords is not None for text in texts),
        "title": sum(text.title is not None for text in texts),
        "both": sum(text.keywords is not None and text.title is not None for text in texts),
    }
    assert index.find("nobody") is None


def test_a_video_does_not_depend_on_which_others_are_asked_for(made):
    some = list(Collection(seed=0).videos(1990, 2010))
    for one, other in zip(some, made[1990:2010], strict=True):
        assert (one.number, one.video.id, one.text) == (other.number, other.video.id, other.text)
        assert np.array_equal(one.video.features["visual"], other.video.features["visual"])


def test_label_law_is_that_of_the_real_counts(shared):
    counts = np.load(shared / "data" / "yt8m" / "train_statistics_4716.npz")["label_counts"]
    real = np.cumsum(np.sort(counts)[::-1] / counts.sum())[:10]
    law = np.cumsum(shares() / shares().sum())[:10]
    assert law[0] == pytest.approx(real[0], abs=0.001)
    assert law[9] == pytest.approx(real[9], abs=0.001)
    assert np.abs(law - real).max() < 0.013


def test_labels_follow_the_law():
    sets = LabelDraws().draw(Draws(1, "test"), 100_000)
    number = (sets >= 0).sum(axis=1)
    assert np.bincount(number, minlength=6)[1:] / len(sets) == pytest.approx([0.08, 0.18, 0.24, 0.26, 0.24], abs=0.01)
    counts = np.bincount(sets[sets >= 0], minlength=100)
    expected = shares() / shares().sum() * counts.sum()
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    first, second = sets[:, :-1], sets[:, 1:]
    assert ((first < second) | (second == -1)).all()  # ascending, so distinct


def test_labels_of_one_topic_go_together():
    sets = LabelDraws().draw(Draws(1, "test"), 20_000)
    topics = np.array([TOPICS.index(label.topic) for label in LABELS])[sets]
    pairs = sets[:, 1] >= 0
    assert (topics[pairs, 0] == topics[pairs, 1]).mean() > 2 / 6


def test_statistics_are_those_of_the_real_features(made, shared):
    real = np.load(shared / "data" / "yt8m" / "train_statistics_4716.npz")
    for modality, key, tolerance in ((VISUAL, "rgb", 0.06), (AUDIO, "audio", 0.12)):
        features = np.stack([one.video.features[modality.name] for one in made])
        ratio = features.var(axis=0) / real[f"var_mean_{key}"]
        assert np.abs(ratio - 1).mean() < tolerance and 0.6 < ratio.min() and ratio.max() < 1.6
        assert np.abs(features.mean(axis=0)).max() < 0.15  # real: 0.06 and 0.08; ours with a sample's error
        assert features.min() >= -1.9921875 and features.max() <= 2.0078125


def test_picture_tells_more_than_sound_and_sound_more_than_chance(made):
    labels = np.zeros((VIDEOS, 100))
    for row, one in enumerate(made):
        labels[row, one.video.labels] = 1
    hits = {}
    for modality in ("visual", "audio"):
        features = np.stack([one.video.features[modality] for one in made]).astype(np.float64)
        hits[modality] = hit_at_1(features, labels)
    chance = labels[4000:, labels[:4000].sum(axis=0).argmax()].mean()
    assert 0.95 > hits["visual"] > hits["audio"] + 0.15 > chance + 0.3


def hit_at_1(features: np.ndarray, labels: np.ndarray) -> float:
    """Hit@1 of a ridge regression fitted to 4000 videos, on the others."""
    train = features[:4000]
    weights = np.linalg.solve(
        train.T @ train + 500 * np.eye(train.shape[1]), train.T @ (labels[:4000] - labels[:4000].mean(0))
    )
    best = (features[4000:] @ weights + labels[:4000].mean(0)).argmax(axis=1)
    return labels[4000:][np.arange(len(best)), best].mean()


def test_text_is_there_in_the_proportions_of_table_1(made):
    texts = [one.text for one in made]
    keywords = np.mean([text.keywords is not None for text in texts])
    title = np.mean([text.title is not None for text in texts])
    both = np.mean([text.keywords is not None and text.title is not None for text in texts])
    assert (keywords, title, both) == pytest.approx((2.578 / 3.905, 3.084 / 3.905, 2.473 / 3.905), abs=0.02)
    stated = [text.language for text in texts if text.title]
    assert np.mean([language is not None for language in stated]) == pytest.approx(0.5, abs=0.03)
    other = [language for language in stated if language not in (None, "en")]
    assert set(other) == {language.code for language in LANGUAGES}
    assert len(other) / np.sum([language is not None for language in stated]) == pytest.approx(0.08, abs=0.02)


def test_a_tenth_of_the_words_are_words_of_labels(made):
    def overlap(text: str, names: set[str]) -> float:
        words = "".join(letter if letter.isalpha() else " " for letter in text.lower()).split()
        return np.mean([word in names for word in words])

    titles, keywords, lengths = [], [], []
    for one in made:
        names = {word for id in one.video.labels for word in LABELS[id].name.lower().replace("-", " ").split()}
        if one.text.title:
            titles.append(overlap(one.text.title, names))
        if one.text.keywords:
            keywords.append(overlap(" ".join(one.text.keywords), names))
            lengths.append(len(" ".join(one.text.keywords).split()))
    assert np.mean(titles) == pytest.approx(0.10, abs=0.02)
    assert np.mean(keywords) == pytest.approx(0.10, abs=0.02)
    assert np.mean(lengths) == pytest.approx(8.2, abs=0.8)  # the paper counts 8.23


def test_only_the_order_of_words_tells_partners_apart(made):
    pairs = [label for label in LABELS if label.partner is not None]
    assert len(pairs) == 12
    seen = 0
    for label in pairs:
        partner = LABELS[label.partner]
        assert label.words == partner.words and label.order == partner.order[::-1]
        ours = [f"{label.order[0]} {link} {label.order[1]}" for link in LINKS]
        for one in made:
            title = (one.text.title or "").lower()
            if any(phrase in title for phrase in ours):
                seen += 1
                assert label.id in one.video.labels
    assert seen > 300


def test_titles_hold_what_makes_real_ones_hard(made):
    titles = [one.text.title for one in made if one.text.title]
    assert all(title.strip() for title in titles)
    for mark in ("😂", "➤", "(", "!!!", "™", "ゲーム", "ß", "é"):
        assert any(mark in title for title in titles), mark
    assert np.mean([any(letter.isdigit() for letter in title) for title in titles]) > 0.2
    assert 0.03 < np.mean([title.isupper() for title in titles]) < 0.2


def test_nothing_is_done_where_the_data_are_there(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert make_demo(small, SMALL)["videos"] == {"train": 84, "validate": 24, "test": 12}
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    assert is_made(small, SMALL) and not is_made(small, DemoConfig())


def test_another_config_replaces_the_data_and_no_more(tmp_path):
    folder = tmp_path / "demo"
    make_demo(folder, SMALL)
    make_demo(folder, DemoConfig(videos=60, frame_videos=0))
    assert not (folder / "frame").exists()
    assert [len(videos) for videos in read(folder / "video").values()] == [42, 12, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".demo.lock", "demo"]


def test_what_is_no_demo_data_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match="^.*mine must be absent, empty or demo data, it holds something else$"):
        make_demo(tmp_path / "mine", SMALL)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


def test_killed_half_way_leaves_no_folder(tmp_path, small):
    folder = tmp_path / "demo"
    script = "import sys, pathlib; from mmvid.records import demo; "
    script += "demo.make_demo(pathlib.Path(sys.argv[1]), demo.DemoConfig(videos=100_000))"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    while not list(tmp_path.glob(".demo.new/video/train/*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not folder.exists()
    make_demo(folder, SMALL)
    assert digest(folder) == digest(small)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".demo.lock", "demo"]


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="frame_videos must be 0 or at least 50, got 49"):
        DemoConfig(frame_videos=49)
    with pytest.raises(ValueError, match="greater than or equal to 50"):
        DemoConfig(videos=49)
