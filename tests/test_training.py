"""Training: determinism, resume, early stopping, precision; on small batches made here."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvid import classifiers, training
from mmvid.records.batches import Batch, Shapes
from mmvid.training import TrainConfig, fit

SHAPES = Shapes(classes=6, features={"visual": 16, "audio": 4})


class MadeBatches:
    """Videos whose labels are the largest of linear scores, in an order drawn from the epoch."""

    def __init__(self, videos: int = 400, size: int = 50, shuffle: bool = True):
        generator = torch.Generator().manual_seed(7)
        self.visual = torch.randn(videos, 16, generator=generator)
        self.audio = torch.randn(videos, 4, generator=generator)
        scores = torch.cat([self.visual, self.audio], 1) @ torch.randn(20, 6, generator=generator)
        self.labels = scores > scores.mean()
        if shuffle:  # wrong labels in train, so that a model can learn too much
            self.labels ^= torch.rand(self.labels.shape, generator=generator) < 0.2
        self.size, self.shuffle, self.epoch, self.epochs_seen = size, shuffle, 0, []

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.visual) // self.size

    def __iter__(self):
        self.epochs_seen.append(self.epoch)
        order = torch.arange(len(self.visual))
        if self.shuffle:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(self.epoch))
        for rows in order.split(self.size):
            yield Batch(
                ids=[str(int(row)) for row in rows],
                features={"visual": self.visual[rows], "audio": self.audio[rows]},
                labels=self.labels[rows],
            )


def make(name: str = "moe", seed: int = 0, **options) -> classifiers.Classifier:
    torch.manual_seed(seed)
    member = classifiers.load(name)
    return member.Model(member.Config(**options), SHAPES)


def run(config: TrainConfig, **kwargs):
    model = make()
    return model, fit(model, MadeBatches(), MadeBatches(shuffle=False), config, progress=False, **kwargs)


def same_weights(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_training_learns_and_reports_each_epoch():
    told = []
    _, fitted = run(TrainConfig(epochs=5, batch_size=50), report=lambda metrics, epoch: told.append((epoch, metrics)))
    assert [epoch for epoch, _ in told] == list(range(5))
    assert [metrics for _, metrics in told] == fitted.history
    assert {"train/loss", "train/learning_rate", "dev/gap", "dev/map", "dev/hit_at_1", "dev/perr"} == set(told[0][1])
    assert fitted.history[-1]["train/loss"] < 0.9 * fitted.history[0]["train/loss"]
    assert fitted.history[-1]["dev/gap"] > fitted.history[0]["dev/gap"]


def test_every_epoch_has_its_own_order():
    batches = MadeBatches()
    fit(make(), batches, MadeBatches(shuffle=False), TrainConfig(epochs=3, batch_size=50), progress=False)
    assert batches.epochs_seen == [0, 1, 2]


def test_the_same_seed_gives_the_same_weights():
    config = TrainConfig(epochs=2, batch_size=50)
    assert same_weights(run(config)[0], run(config)[0])


def test_the_model_ends_with_the_weights_of_its_best_epoch():
    config = TrainConfig(epochs=12, batch_size=50, learning_rate=0.5, patience=0)
    _, fitted = run(config)
    gaps = [metrics["dev/gap"] for metrics in fitted.history]
    assert fitted.best_epoch == gaps.index(max(gaps)) < len(gaps) - 1
    best, _ = run(config.model_copy(update={"epochs": fitted.best_epoch + 1}))
    assert same_weights(run(config)[0], best)


def test_early_stopping_waits_for_patience_epochs():
    _, fitted = run(TrainConfig(epochs=60, batch_size=50, learning_rate=0.5, patience=2))
    assert len(fitted.history) == fitted.best_epoch + 3


def test_an_interrupted_training_resumes_to_the_same_end(tmp_path):
    config = TrainConfig(epochs=6, batch_size=50)
    undisturbed, expected = run(config)

    def stop(metrics, epoch):
        if epoch == 2:
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        run(config, checkpoints=tmp_path, report=stop)
    told = []
    resumed, fitted = run(config, checkpoints=tmp_path, report=lambda metrics, epoch: told.append(epoch))
    assert fitted == expected and same_weights(resumed, undisturbed)
    assert told == list(range(6))  # the epochs before the stop are told again, from the checkpoint


def test_a_finished_training_is_not_trained_further(tmp_path):
    config = TrainConfig(epochs=60, batch_size=50, learning_rate=0.5, patience=2)
    first, expected = run(config, checkpoints=tmp_path)
    again, fitted = run(config, checkpoints=tmp_path)
    assert fitted == expected and same_weights(first, again)


KILLED = """
import sys, time
sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_training import run
from mmvid.training import TrainConfig
run(TrainConfig(epochs=14, batch_size=50, patience=0), checkpoints=Path({folder!r}),
    report=lambda metrics, epoch: (print(epoch, flush=True), time.sleep(0.05)))
"""


@pytest.mark.slow
def test_a_training_killed_with_9_resumes_to_the_same_end(tmp_path):
    tests = Path(__file__).parent
    script = KILLED.format(tests=str(tests), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        while int(process.stdout.readline()) < 5:
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "last.ckpt").exists()
    config = TrainConfig(epochs=14, batch_size=50, patience=0)
    resumed, fitted = run(config, checkpoints=tmp_path)
    undisturbed, expected = run(config)
    assert fitted == expected and same_weights(resumed, undisturbed)


KILLED_WITHIN = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from lightning.pytorch.callbacks import Callback
from test_training import run
from mmvid.training import TrainConfig

class Tell(Callback):
    def on_train_batch_end(self, trainer, *_):
        print(trainer.global_step, flush=True)

run(TrainConfig(epochs=6, batch_size=50, patience=0, checkpoint_minutes=0), checkpoints=Path({folder!r}),
    callbacks=[Tell()])
"""


@pytest.mark.parametrize("step", [13, *(pytest.param(step, marks=pytest.mark.kills) for step in (1, 8, 9, 24, 31, 46))])
def test_a_training_killed_with_9_within_an_epoch_resumes_to_the_same_end(tmp_path, step):
    script = KILLED_WITHIN.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        while int(process.stdout.readline()) < step:
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    config = TrainConfig(epochs=6, batch_size=50, patience=0)
    resumed, fitted = run(config, checkpoints=tmp_path)
    undisturbed, expected = run(config)
    assert fitted == expected and same_weights(resumed, undisturbed)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match="(?i)weights_only|unsupported"):
        run(TrainConfig(epochs=2, batch_size=50), checkpoints=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("loss", ["cross_entropy_epsilon", "hinge", "softmax"])
def test_every_loss_trains(loss):
    _, fitted = run(TrainConfig(epochs=3, batch_size=50, loss=loss))
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]


def test_bfloat16_comes_close_to_float32():
    config = TrainConfig(epochs=5, batch_size=50)
    _, full = run(config)
    _, half = run(config.model_copy(update={"precision": "bf16-mixed"}))
    assert half.history[-1]["dev/gap"] == pytest.approx(full.history[-1]["dev/gap"], abs=0.05)


def test_the_learning_rate_falls_in_stairs():
    _, fitted = run(TrainConfig(epochs=3, batch_size=50, learning_rate=0.1, decay=0.5, decay_examples=400))
    rates = [metrics["train/learning_rate"] for metrics in fitted.history]
    assert rates == pytest.approx([0.1, 0.05, 0.025])


def test_a_loss_that_is_no_number_is_an_error(monkeypatch):
    monkeypatch.setattr(training, "classification_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(ValueError, match="^the loss became nan in epoch 0, batch 0; try a lower learning_rate$"):
        run(TrainConfig(epochs=1, batch_size=50))


def test_unlabelled_batches_are_refused():
    batches = MadeBatches()
    batch = next(iter(batches))
    batch.labels = None
    with pytest.raises(ValueError, match="^a batch without labels cannot be trained on$"):
        training.classification_loss(make(), batch, "cross_entropy")
