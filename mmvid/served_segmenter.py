"""The script that MLflow runs to load a served segmenter (models from code: nothing is unpickled)."""

import mlflow

from mmvid.segmentation_serving import python_model

mlflow.models.set_model(python_model())
