"""The script that MLflow runs to load a served ensemble (models from code: nothing is unpickled)."""

import mlflow

from mmvid.ensemble_serving import open_service
from mmvid.serving import python_model

mlflow.models.set_model(python_model(mlflow.models.ModelConfig().get("keys"), open_service))
