"""Build the YouTube-8M-Text of a data set: titles and keywords as words that have vectors.

    mlflow run . -e build_text -P data=/data/yt8m -P schema=youtube8m -P vectors=/data/GoogleNews.bin.gz
    python -m steps.build_text --titles 's3://texts/part-*.parquet' --vectors vectors.bin.gz

Reads  the data set at --data, its titles and keywords or those of --titles, the word vectors of --vectors (with none,
       small ones are trained on the data set's own text).
Logs   text.md, text.html (Table 1, loss factors, words, label overlap), commonest_keywords.png (the paper's Figure 2),
       commonest_label_words.png (Figure 3), manifest.json, words/*, videos/<split>/*.
"""

from mmvid import textual
from mmvid.config import parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, open_dataset
from mmvid.records.store import Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.report import text as report
from mmvid.runs import Command, Finished, Run, RunConfig
from mmvid.textual import TextConfig


def main(argv: list[str]) -> None:
    config, data, control = parse(argv, TextConfig, DataConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = open_dataset(command, data)
        textset = find_or_build(command, store, config, force=control.force, own=True)
    print(report.as_markdown(textset, store))
    print(f"text set: {textset.folder}\ndigest: {textset.digest}")


def find_or_build(
    command: Command, store: Store, config: TextConfig, *, force: bool = False, own: bool = False
) -> TextSet:
    """The text set of a store, built now if there is none."""
    store = store.base
    task = textual.task_of(store, config)
    place = textual.place_of(store, task)

    def compute(run: Run) -> None:
        run.params({"data": str(store.folder), "vectors": config.vectors, "titles": config.titles})
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="text")
        log_textset(run, textual.build(store, config, place), store)

    def usable(finished: Finished) -> bool:
        return (place / "manifest.json").exists() and TextSet.open(place).digest == finished.tags.get(
            "mmvid.text.digest"
        )

    command.find_or_run(task, compute, force=force, own=own, usable=usable)
    return TextSet.open(place)


def log_textset(run: Run, textset: TextSet, store: Store) -> None:
    """Logs what there is and what was lost, as tables and pictures."""
    told = report.as_markdown(textset, store)
    run.text("text.md", told)
    run.text("text.html", report.as_page(textset, store))
    run.figure("commonest_keywords.png", report.figure(report.commonest_keywords(textset), store.title))
    run.figure("commonest_label_words.png", report.figure(report.commonest_label_words(store), store.title))
    run.json("manifest.json", textset.contents.plain())
    metrics = {"words/distinct": float(len(textset)), "words/distinct_keywords": textset.contents.distinct_keywords}
    for split in textset.splits:
        counts = textset.counts(split)
        metrics |= {f"videos/{split}/{name}": getattr(counts, name).known for name in FIELDS}
        metrics |= {f"videos/{split}/both": counts.both}
    run.report(metrics)
    run.tags({"mmvid.text.digest": textset.digest, "mmvid.text.set": str(textset.folder)})
    run.describe(told)


if __name__ == "__main__":
    run_command(main)
