"""Clips as pixels on disk: readers of what is published, one store of uint8 frames, made demo clips, and batches."""
