"""Diffusion as the methods see it: noise levels, predictions, guidance, attention. Torch only; models are behind a protocol."""
