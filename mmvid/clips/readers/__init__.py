"""The catalogue of readers: one file = one published format of clips.

A reader has `ENDINGS`, the endings of the files that it reads, and two functions:

    pieces(located)                  what is read at a time: a file, a folder of pictures, a range of a file
    read(piece, options, report)     the piece's clips; what is wrong with one of them is given to `report`
"""

from mmvid.catalogue import catalogue

names, load = catalogue(__name__, __path__, "kind")
KINDS = tuple(names())
