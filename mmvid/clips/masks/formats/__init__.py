"""The catalogue of formats of labelled pictures: one file = one tool's export.

A format has two functions:

    recognises(documents, places)                whether these files are of its kind
    index(documents, places, frames, options)    which pictures are labelled, and how: an `Index`

`documents` are the export's JSON files, read; `places` all its files; `frames` the pictures.
"""

from mmvid.catalogue import catalogue

names, load = catalogue(__name__, __path__, "mask_format")
FORMATS = tuple(names())
