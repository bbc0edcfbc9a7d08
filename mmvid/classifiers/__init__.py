"""The catalogue of classifiers: one file = one classifier = `Config` + `Model`; a `Batch` in, scores (B, C) out."""

from mmvid.catalogue import catalogue

names, load = catalogue(__name__, __path__, "classifier")
