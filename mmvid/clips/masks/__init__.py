"""Hand-labelled pictures as published by labelling tools become clips of one frame, with a mask for each category."""
