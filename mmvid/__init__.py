"""mmvid: multi-modal video classification, and video-prediction encoders with segmentation heads, on MLflow."""

import os

__version__ = "0.1.0"

# torch's threads spin while they wait for each other. Where another process has one of the cores, a training step
# took five times as long for it (88 ms, against 18 ms with this; 17 and 18 ms on an idle machine). It must be said
# before torch is imported; what a user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
