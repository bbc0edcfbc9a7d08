"""Hyperparameter search over any model: a space, a study that processes share, its figures. Only here is Optuna."""
