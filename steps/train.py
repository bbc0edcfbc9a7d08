"""Train one classifier and log it to MLflow.

    mlflow run . -e train_moe -P experts=8
    python -m steps.train moe --experts 8
    python -m steps.train textcnn --vectors GoogleNews-vectors-negative300.bin.gz

Reads  the data set at --data (the demo is made if it is `demo` and not there yet; TFRecords are ingested first); for a
       classifier that reads text its text set, which is built if it is not there yet; for one whose --modalities name
       title or keywords their features, likewise (see `text_features`).
Logs   config.json, train/loss and dev/* of each epoch, gate/* and validate/* at the end, predictions, the model.
"""

import shutil
import tempfile
from pathlib import Path
from types import ModuleType

from mmvid import classifiers, ensemble_serving, experiment, packaging, predictions, serving
from mmvid.config import Options, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.distillation import Teacher, TeacherConfig
from mmvid.layers.features import FeatureOptions
from mmvid.layers.text import FIELDS, TextOptions
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.registry.versions import model_uri
from mmvid.report.figures import precision_by_frequency
from mmvid.runs import Command, Finished, Run, RunConfig, home, load_run
from mmvid.setups import Setup, given_training, settled_training, training_options
from mmvid.text_encoder import TextEncoder
from mmvid.textual import TextConfig
from mmvid.training import TrainConfig
from steps.build_text import find_or_build


def main(argv: list[str]) -> None:
    with Command() as command:
        finished = train(command, argv, own=True)
    shown = ", ".join(f"{metric} {finished.metrics[f'validate/{metric}']:.4f}" for metric in ("gap", "map"))
    print(f"{finished.run.info.run_name}: validate {shown}\nrun {finished.id}")


def train(
    command: Command,
    argv: list[str],
    *,
    data: DataConfig | None = None,
    text: TextConfig | None = None,
    frames: bool = False,
    own: bool = False,
) -> Finished:
    """The finished run that the words of a command line ask for, trained now if there is none.

    Args:
        command: whose run it is.
        argv: a classifier's name and its options.
        data, text: the data set and its words, in place of what argv says of them.
        frames: takes the demo's frame-level records though the classifier reads none.
        own: the training is what the command is for.
    """
    from steps import text_features  # which trains a TextCNN by what is here

    name, model, said_training, learn, said_text, features, said_data, control = asked(argv)
    member = classifiers.load(name)
    training = settled_training(member, model, said_training)
    store = open_dataset(command, data or said_data, frames=frames or member.Model.reads_frames)
    textset, encoder = None, text_features.encoder_of(store)
    if isinstance(model, TextOptions):
        textset = find_or_build(command, store, text or said_text)
    elif set(getattr(model, "modalities", ())) & set(FIELDS) - set(store.shapes.features):
        store, encoder = text_features.find_or_make(command, store, text or said_text, features)
    setup = Setup(name, model, training, find_teacher(learn, store))
    return find_or_train(command, setup, store, textset, encoder, force=control.force, own=own)


def asked(argv: list[str]) -> tuple:
    """What the words of a command line ask for: a classifier's name, its options and those of all that it rests on.

    Exits as `parse` does when a word is wrong.
    """
    return parse(
        argv,
        classifiers,
        given_training,
        teacher_options,
        text_options,
        feature_options,
        DataConfig,
        RunConfig,
        about=__doc__,
    )


def feature_options(member: ModuleType) -> type[Options] | None:
    """The options of features of text, for a classifier that can read some."""
    from steps.text_features import FeaturesConfig  # which trains a TextCNN by what is here

    return FeaturesConfig if issubclass(member.Config, FeatureOptions) else None


def text_options(member: ModuleType) -> type[TextConfig] | None:
    """The options of the text set, for a classifier that reads text or features of it."""
    return TextConfig if issubclass(member.Config, TextOptions | FeatureOptions) else None


def teacher_options(member: ModuleType) -> type[TeacherConfig] | None:
    """The options of a teacher, for a classifier that is trained by gradients."""
    return TeacherConfig if issubclass(training_options(member), TrainConfig) else None


def find_teacher(config: TeacherConfig | None, store: Store) -> Teacher | None:
    """The teacher that is named, if one is.

    Raises:
        ValueError: if it is no model of ours, or none for this data set.
    """
    if config is None or not config.teacher:
        return None
    uri = config.teacher if ":/" in config.teacher else model_uri(load_run(config.teacher))
    teacher = Teacher(ensemble_serving.load_logged(uri), config, home() / "teachers")
    teacher.check(store)
    return teacher


def find_or_train(
    command: Command,
    setup: Setup,
    store: Store,
    textset: TextSet | None = None,
    encoder: TextEncoder | None = None,
    *,
    force: bool = False,
    own: bool = False,
) -> Finished:
    """The finished run of a setup, trained now if there is none; `encoder` made the store's features of text."""
    task = setup.task(store, textset)
    checkpoints = home() / "checkpoints" / task.key
    if force:
        shutil.rmtree(checkpoints, ignore_errors=True)

    def compute(run: Run) -> None:
        run.params({"data": str(store.folder), "classifier": setup.name})
        run.json("config.json", setup.describe())
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="train")
        outcome = experiment.run(
            setup,
            store,
            key=task.key,
            textset=textset,
            encoder=encoder,
            report=run.report,
            checkpoints=checkpoints,
        )
        log_outcome(run, outcome, store)
        if textset is not None:
            run.tags({"mmvid.text.set": str(textset.folder)})
        shutil.rmtree(checkpoints, ignore_errors=True)

    return command.find_or_run(task, compute, force=force, own=own)


def log_outcome(run: Run, outcome: experiment.Outcome, store: Store) -> None:
    """Logs metrics, predictions, the plot by class frequency and the model."""
    run.report(outcome.metrics | {f"seconds/{stage}": spent for stage, spent in outcome.seconds.items()})
    run.report({"best_epoch": float(outcome.fitted.best_epoch)})
    for split, found in outcome.predictions.items():
        with run.file(f"predictions/{split}.arrow") as path:
            predictions.write(found, path)
    title = f"{outcome.package.name} on {store.title}"
    figure = precision_by_frequency(outcome.class_precision, store.label_counts("train"), title)
    run.figure("precision_by_frequency.png", figure)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package"
        packaging.save(outcome.package, package)
        uri = serving.log_model(outcome.package, package, packaging.pinned_requirements())
        run.tags({"mmvid.model": uri})
    run.tags({"mmvid.data.store": store.folder})
    run.describe(f"{title}. {outcome.summary()}")


if __name__ == "__main__":
    run_command(main)
