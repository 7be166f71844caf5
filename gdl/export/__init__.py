"""Models that travel: weights with their configuration and a model card, and ONNX."""
