"""Segmentation: a mask for each frame, decoded from an encoder's latents, or from the frame itself by the U-Net."""
