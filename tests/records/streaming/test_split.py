"""A store that leaves the features of train in their shards: nothing else of it is different."""

import pytest
from lightning.pytorch.callbacks import Callback

from mmvid import experiment
from mmvid.classifiers import load
from mmvid.records.ingest import ingest
from mmvid.records.loader import Loader
from mmvid.records.schema import load_schema
from mmvid.records.store import Store
from mmvid.records.streaming.split import SplitStream
from mmvid.setups import Setup
from mmvid.training import TrainConfig


@pytest.fixture(params=[False, True], ids=["video", "frame"])
def framed(request) -> bool:
    return request.param


@pytest.fixture
def stores(maker, tmp_path, framed) -> tuple[Store, Store]:
    """The same data whole and with a streamed train; dev and gate are cut from train, and some videos have text."""
    maker.whole(frames=framed, shards=4)
    lines = [f'{{"id": "t0-{n:04d}", "title": "a title"}}\n' for n in range(0, 40, 3)]
    (maker.folder / "text.jsonl").write_text("".join(lines))
    return (
        ingest(maker.folder, maker.schema, tmp_path / "whole"),
        ingest(maker.folder, maker.schema, tmp_path / "streamed", stream=True),
    )


def by_id(batches) -> dict[str, tuple]:
    found = {}
    for batch in batches:
        batch = batch.to("cpu")
        for row, id in enumerate(batch.ids):
            length = int(batch.num_frames[row])
            found[id] = (
                {name: values[row].tolist() for name, values in batch.features.items()},
                {name: values[row, :length].tolist() for name, values in batch.frames.items()},
                {name: bool(values[row]) for name, values in batch.presence.items()},
                batch.labels[row].tolist(),
            )
    return found


def test_all_but_the_features_of_train_is_the_same(stores, framed):
    whole, streamed = stores
    assert whole.digest != streamed.digest and whole.shapes == streamed.shapes
    for split in whole.splits:
        assert whole.counts(split) == streamed.counts(split)
        one, other = whole.table(split), streamed.table(split)
        if split != "train":
            assert one.equals(other) and not streamed.streamed(split)
        else:
            kept = [name for name in one.column_names if not name.startswith(("features.", "frames."))]
            assert other.column_names == [*kept, "byte", "checksum"] and one.select(kept).equals(other.select(kept))
    assert whole.has_text("train").tolist() == streamed.has_text("train").tolist()
    assert streamed.profile()["streamed shards"] == 4 and "streamed shards" not in whole.profile()


def test_its_batches_are_those_of_the_whole_store(stores, framed):
    whole, streamed = stores
    for workers in (0, 2):
        stream = SplitStream(streamed, "train", 16, frames=framed, buffer=40, workers=workers)
        loader = Loader(whole, "train", 16, frames=framed)
        assert by_id(stream) == by_id(loader) and stream.count == loader.count and len(stream) == len(loader)
    with pytest.raises(ValueError, match="^train of .* has its features in TFRecords, which must be streamed$"):
        Loader(streamed, "train", 16)
    with pytest.raises(ValueError, match="^dev of .* has its features in the store; they are not streamed$"):
        SplitStream(streamed, "dev", 16)
    assert by_id(Loader(streamed, "dev", 16, frames=framed)) == by_id(Loader(whole, "dev", 16, frames=framed))


@pytest.mark.parametrize("framed", [True], indirect=True)
def test_its_digest_is_of_the_records(stores, maker, tmp_path, framed):
    """The same bytes elsewhere have the same digest; other features of train another one."""
    _, streamed = stores
    again = ingest(maker.folder, maker.schema, tmp_path / "again", stream=True)
    assert again.digest == streamed.digest
    videos = maker.videos("t0", 40, frames=True)
    maker.write("train/train00.tfrecord", videos)
    assert ingest(maker.folder, maker.schema, tmp_path / "again", stream=True).digest != streamed.digest
    with pytest.raises(ValueError, match="train00.tfrecord: the file changed while it was read"):
        list(SplitStream(streamed, "train", 16, frames=True))


@pytest.mark.slow
def test_audioset_streamed_is_learnt_as_well_as_from_the_store(shared, tmp_path):
    """DBoF of one epoch: the orders differ, the scores hardly."""
    folder = shared / "data" / "audioset"
    found = {}
    for name in ("whole", "streamed"):
        store = ingest(folder, load_schema("audioset"), tmp_path / name, stream=name == "streamed")
        member = load("dbof")
        train = TrainConfig(epochs=1, batch_size=128, learning_rate=0.003, patience=0, buffer=4000)
        setup = Setup("dbof", member.Config(projection=256, hidden=128), train)
        found[name] = experiment.train(setup, store, progress=False)[1].history[-1]["dev/gap"]
    assert found["streamed"] == pytest.approx(found["whole"], abs=0.02) and found["streamed"] > 0.2


class PowerCut(Callback):
    """Stops everything after a number of batches."""

    def __init__(self, batches: int):
        self.left = batches

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the power went")


@pytest.mark.parametrize("framed", [True], indirect=True)
@pytest.mark.parametrize("kind", ["whole", "streamed"])
def test_a_training_cut_off_within_an_epoch_ends_with_the_same_numbers(stores, kind, tmp_path, framed):
    """DBoF draws frames at random and its batch norms have statistics: both go on where they were."""
    store = stores[kind == "streamed"]
    config = load("dbof").Config(projection=16, hidden=8, sampling="frames", samples=3)
    train = TrainConfig(epochs=3, batch_size=8, patience=0, ema=0.9, checkpoint_minutes=0, buffer=30)
    setup = Setup("dbof", config, train)
    model, expected = experiment.train(setup, store, progress=False)
    batches = len(experiment.batches(store, "train", model, 8, learn=True))
    for cut in (3, batches + 5):
        folder = tmp_path / f"cut{cut}"
        with pytest.raises(RuntimeError, match="the power went"):
            experiment.train(setup, store, progress=False, checkpoints=folder, callbacks=(PowerCut(cut),))
        again, fitted = experiment.train(setup, store, progress=False, checkpoints=folder)
        assert fitted == expected
        assert all(a.equal(b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
