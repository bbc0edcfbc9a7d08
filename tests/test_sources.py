"""The digest of the code that a result depends on."""

import sys

import pytest

from mmvid import sources
from mmvid.sources import imports, sources_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `mmvid_probe` of two modules, the first of which imports the second."""
    folder = tmp_path / "mmvid_probe"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "top.py").write_text("from mmvid_probe import below\n")
    (folder / "below.py").write_text('"""Says one."""\n\ndef one():\n    """It is one."""\n    return 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "OURS", ("mmvid_probe",))
    sources._file_or_none.cache_clear()
    yield folder
    sources._file_or_none.cache_clear()
    for name in [name for name in sys.modules if name.startswith("mmvid_probe")]:
        del sys.modules[name]


def digest() -> str:
    sources._tree.cache_clear()
    return sources_digest(["mmvid_probe.top"])


def test_imports_are_followed(package):
    assert set(imports("mmvid_probe.top")) == {"mmvid_probe", "mmvid_probe.below"}


def test_a_change_below_changes_the_digest(package):
    before = digest()
    (package / "below.py").write_text("def one():\n    return 2\n")
    assert digest() != before


def test_comments_and_docstrings_do_not(package):
    before = digest()
    (package / "below.py").write_text('"""Other words."""\n# A comment.\ndef one():\n    return 1\n')
    assert digest() == before


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="^there is no module 'mmvid.nowhere'$"):
        sources_digest(["mmvid.nowhere"])


def test_a_classifier_brings_its_layers():
    assert "mmvid.layers.experts" in set(imports("mmvid.classifiers.moe"))
