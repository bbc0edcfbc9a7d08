"""Batches straight from TFRecord shards, which are read in order and shuffled on the way, by one process or several."""
