"""Video records: whose features (schema), the Arrow store, splits, the made demo data, and batches for training."""
