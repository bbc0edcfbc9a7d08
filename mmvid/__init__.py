"""mmvid: truly multi-modal video classification, and video-prediction encoders with segmentation heads, on MLflow."""

__version__ = "0.1.0"
