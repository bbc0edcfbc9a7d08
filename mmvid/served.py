"""The script that MLflow runs to load a served classifier (models from code: nothing is unpickled)."""

import mlflow

from mmvid.serving import python_model

mlflow.models.set_model(python_model(mlflow.models.ModelConfig().get("keys")))
