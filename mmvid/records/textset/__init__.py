"""YouTube-8M-Text: titles and keywords of a store's videos as word ids, beside the words' vectors (Wang et al. 2017).

manifest.json   what it was made from, what was lost on the way, and a digest of the whole
words.txt       V words, one a line: those that occur and have a vector, by falling count in train, then by word
counts.npy      int64 (V, 2): how often each stands in train's titles, and in its keywords
vectors.npy     float32 (V, D), their vectors: nothing downstream needs the large file that they came from
<split>.arrow   a row for each row of the store's split, in its order; see `tokens.COLUMNS`
"""

from mmvid.records.textset.reading import TextSet
from mmvid.records.textset.tokens import COLUMNS, FIELDS, LabelWords, Tokens

__all__ = ["COLUMNS", "FIELDS", "LabelWords", "TextSet", "Tokens"]
