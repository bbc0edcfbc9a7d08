"""Hyperparameter search over any model: a space, a study that processes share, its figures. Only here is Optuna."""

from mmvid.console import check_extra

check_extra("search", "a search", ("optuna", "plotly", "sqlalchemy"))
