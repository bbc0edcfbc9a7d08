"""Several classifiers as one: what is made of their batches, and of predictions that they have left on disk."""
