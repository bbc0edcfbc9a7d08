"""Schema files under attack: any bytes are a schema, or a `ValueError` of one line that names the file.

    python -m fuzz.schema CORPUS -max_total_time=60

A schema that is written again reads the same.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["yaml", "mmvid.config", "mmvid.records.schema"]):
    import yaml

    from mmvid.records.schema import load_schema

FOLDER = tempfile.TemporaryDirectory()
FILE = Path(FOLDER.name) / "fuzzed.yaml"
BUILT_IN = resources.files("mmvid.records") / "schemas"
SEEDS = [file.read_bytes() for file in BUILT_IN.iterdir() if file.name.endswith(".yaml")] + [
    b"{name: a, classes: 3, features: {v: {size: 2, mean: m, quantised_range: [-1, 1.5e0]}}, id_keys: [id]}",
    b"a: &x [1, *x]\n<<: {b: 0x1f, c: 0b1, d: 1:30, e: .inf, f: 2001-01-01}\n? [k]\n: !!binary aGk=\n",
]


def check(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        schema = load_schema(FILE)
    except ValueError as error:
        sentence = str(error)
        assert sentence.startswith(f"{FILE}: ") and "\n" not in sentence and len(sentence) < 2000, sentence
        return
    FILE.write_text(yaml.safe_dump(schema.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    assert load_schema(FILE) == schema


if __name__ == "__main__":
    from fuzz.corpus import start

    start(sys.argv, check, SEEDS)
