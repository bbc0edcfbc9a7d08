"""The keyword histogram's perceptron: its options."""

import pytest

from mmvid.classifiers import keywords
from mmvid.records.batches import Shapes


@pytest.mark.parametrize("sizes", [(-5,), (64, 0)])
def test_layers_without_units_are_told(sizes):
    with pytest.raises(ValueError, match=f"^sizes must be at least 1, got {','.join(map(str, sizes))}$"):
        keywords.Model(keywords.Config(sizes=sizes), Shapes(classes=3, words=5, word_size=2))
