"""Schemas: those that come along, a user's own, and one sentence for each thing that can be wrong with it."""

import numpy as np
import pytest

from mmvid.records.schema import FeatureSpec, Schema, dequantise, load_schema, schema_names
from mmvid.tfrecords.encode import encode_sequence_example


def test_the_schemas_that_come_along():
    assert schema_names() == ["audioset", "demo", "mosi", "youtube8m", "youtube8m_segments", "youtube8m_v1"]
    expected = {"youtube8m": 3862, "youtube8m_segments": 3862, "youtube8m_v1": 4716, "audioset": 527, "demo": 100}
    for name, classes in expected.items():
        schema = load_schema(name)
        assert (schema.name, schema.classes, schema.max_frames) == (name, classes, 300)
        assert set(schema.id_keys) == {"id", "video_id"}
    assert load_schema("youtube8m").features["visual"] == FeatureSpec(size=1024, mean="mean_rgb", frames="rgb")
    assert load_schema("audioset").features["audio"].frames == "audio_embedding"


def test_a_schema_of_ones_own(tmp_path):
    path = tmp_path / "mosi.yaml"
    path.write_text(
        "name: mosi\nclasses: 2\nfeatures:\n  visual: {size: 100, mean: v}\n"
        "  speech: {size: 73, frames: s, quantised_range: [0, 1]}\n"
    )
    schema = load_schema(path)
    assert schema.features["speech"].quantised_range == (0, 1)
    rows = np.random.default_rng(0).integers(0, 256, (4, 73), dtype=np.uint8)
    record = encode_sequence_example({"id": [b"a"]}, {"s": rows})
    expected = dequantise(rows, 0, 1).mean(axis=0)
    assert np.allclose(schema.decode(record).features["speech"], expected, rtol=0, atol=1e-6)
    assert Schema(**schema.model_dump(mode="json")) == schema


GOOD = "name: s\nclasses: 2\nfeatures:\n  visual: {size: 4, mean: a}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GOOD + "clases: 3\n", "clases must not be given: there is no such option; did you mean classes?"),
        (
            GOOD.replace("size: 4", "size: 4, sice: 5"),
            "features.visual.sice must not be given: there is no such option; did you mean size?",
        ),
        (
            GOOD + "segments: {score: s}\n",
            "segments.score must not be given: there is no such option; did you mean scores?",
        ),
        (GOOD.replace("classes: 2", "classes: 0"), "classes must be at least 1, got 0"),
        (GOOD.replace("classes: 2\n", ""), "classes must be given"),
        (GOOD.replace("size: 4", "size: four"), "features.visual.size must be a whole number, got four"),
        (
            GOOD.replace(", mean: a", ""),
            "features.visual: a feature must have a mean key, a frames key or both",
        ),
        (
            GOOD.replace("mean: a", "mean: a, quantised_range: [2, -2]"),
            "features.visual: quantised_range must rise, got 2.0 to -2.0",
        ),
        (GOOD + "  audio: {size: 4, mean: a}\n", "features must have distinct mean keys, got a, a"),
        (GOOD + "  visual: {size: 5, mean: b}\n", "line 5: not YAML: 'visual' is given twice"),
        (GOOD + "{", "line 5: not YAML: "),
        (GOOD + "max_frames: 2001-99-99\n", "line 5: not YAML: no valid timestamp"),
        (GOOD + "max_frames: " + "9" * 5000, "line 5: not YAML: no valid int"),
        (GOOD + "max_frames: \0", "not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 10_000, "not a schema: it is nested too deeply"),
        ("- 1\n", "a schema must be a mapping of fields, got list"),
        ("", "a schema must be a mapping of fields, got NoneType"),
        (GOOD + "1: 2\n", "the fields of a schema must be words"),
    ],
)
def test_a_wrong_schema_names_file_and_field(tmp_path, text, sentence):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        load_schema(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


def test_an_unknown_schema_names_those_there_are():
    sentence = r"^unknown schema 'youtube8n'; did you mean youtube8m\?; there are audioset, demo, mosi, youtube8m, "
    with pytest.raises(ValueError, match=sentence):
        load_schema("youtube8n")
