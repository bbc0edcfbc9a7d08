"""The loop itself: rounds cut from epochs, averaged weights, resume in the middle of an epoch with both."""

import copy

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from test_training import MadeBatches, make, same_weights

from mmvid import loop
from mmvid.epochs import Resumable, Rounds, starting
from mmvid.loop import Averaging
from mmvid.training import Classifying, TrainConfig

CONFIG = TrainConfig(batch_size=50)


class Numbers:
    """Seven batches an epoch, each the epoch's number and its own."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 7

    def __iter__(self):
        yield from ((self.epoch, number) for number in range(7))


def test_rounds_join_to_the_epochs_they_are_cut_from():
    expected = [(step // 7, step % 7) for step in range(20)]
    rounds, got = Rounds(Numbers(), 5), []
    for number in range(4):
        rounds.set_epoch(number)
        got += list(rounds)
    assert got == expected


def test_a_round_can_be_the_first_to_be_asked_for():
    rounds = Rounds(Numbers(), 5)
    rounds.set_epoch(3)
    assert list(rounds) == [(step // 7, step % 7) for step in range(15, 20)]
    rounds.set_epoch(1)  # backwards too
    assert list(rounds) == [(step // 7, step % 7) for step in range(5, 10)]


def test_an_epoch_can_be_taken_up_at_any_batch():
    rounds = Rounds(Numbers(), 5)
    for batches in (Numbers(), rounds):
        batches.set_epoch(2)
        whole = list(batches)
        assert [list(starting(batches, n)) for n in range(len(whole) + 1)] == [whole[n:] for n in range(len(whole) + 1)]
    resumable = Resumable(Numbers())
    resumable.set_epoch(1)
    stream = iter(resumable)
    assert [next(stream) for _ in range(3)] == [(1, 0), (1, 1), (1, 2)]
    again = Resumable(Numbers())
    again.load_state_dict(resumable.state_dict())
    assert list(again) == [(1, number) for number in range(3, 7)]


def train(epochs: int, ema: float = 0.0, steps: int = 3, **kwargs):
    model = make()
    fitted = loop.train(
        Classifying(model, CONFIG),
        Rounds(MadeBatches(), steps),
        MadeBatches(shuffle=False),
        epochs=epochs,
        ema=ema,
        progress=False,
        **kwargs,
    )
    return model, fitted


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_training_stopped_in_the_middle_of_an_epoch_resumes_to_the_same_end(tmp_path, ema):
    undisturbed, expected = train(7, ema)  # rounds of 3 batches, epochs of 8

    def stop(metrics, epoch):
        if epoch == 3:
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        train(7, ema, checkpoints=tmp_path, report=stop)
    resumed, fitted = train(7, ema, checkpoints=tmp_path)
    assert fitted == expected and same_weights(resumed, undisturbed)


class PowerCut(Callback):
    """Stops everything after a number of batches."""

    def __init__(self, batches: int):
        self.left = batches

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the power went")


@pytest.mark.parametrize("rounds", [False, True], ids=["epochs", "rounds"])
@pytest.mark.parametrize("cut", [0, 1, 9, 15, 16, 22])
def test_a_training_cut_off_within_an_epoch_ends_with_the_same_numbers(tmp_path, cut, rounds):
    """Dropout, averaged weights and Adam's state go on, too; epochs and rounds have 8 and 6 batches."""

    def fit(**kwargs):
        model = make("mlp", dropout=0.5)
        batches = Rounds(MadeBatches(), 6) if rounds else MadeBatches()
        learner = Classifying(model, CONFIG)
        dev = MadeBatches(shuffle=False)
        fitted = loop.train(learner, batches, dev, epochs=4, ema=0.9, progress=False, **kwargs)
        return model, fitted

    undisturbed, expected = fit()
    with pytest.raises(RuntimeError, match="the power went"):
        fit(checkpoints=tmp_path, checkpoint_minutes=0, callbacks=[PowerCut(cut)])
    assert (tmp_path / "last.ckpt").exists() == (cut > 0)
    resumed, fitted = fit(checkpoints=tmp_path, checkpoint_minutes=0)
    assert fitted == expected and same_weights(resumed, undisturbed)


def test_the_average_is_the_formulas_and_is_what_is_measured_and_kept():
    seen, measured = [], []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            seen.append(copy.deepcopy(list(module.model.parameters())))

        def on_validation_epoch_start(self, trainer, module):
            measured.append(copy.deepcopy(list(module.model.parameters())))

    start = list(make().parameters())
    model, fitted = train(4, ema=0.8, callbacks=[Watch()])
    average, averages = [weight.detach().double() for weight in start], []
    for step, weights in enumerate(seen, start=1):
        decay = min(0.8, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w.detach().double() for a, w in zip(average, weights, strict=True)]
        averages.append(average)
    for number, found in enumerate(measured):
        torch.testing.assert_close(found, averages[3 * number + 2], check_dtype=False, rtol=1e-5, atol=1e-6)
    kept = averages[3 * fitted.best_epoch + 2]
    torch.testing.assert_close(list(model.parameters()), kept, check_dtype=False, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(seen[-1][0], averages[-1][0].float())  # training goes on from the weights themselves


def test_only_what_is_trained_is_averaged():
    model = make()
    frozen = next(model.parameters()).requires_grad_(False)
    averaging = Averaging(0.9)
    averaging.on_train_start(None, Classifying(model, CONFIG))
    assert len(averaging.average) == len(list(model.parameters())) - 1
    assert all(value.shape != frozen.shape or not value.equal(frozen) for value in averaging.average.values())
