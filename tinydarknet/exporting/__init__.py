"""From a checkpoint to ONNX and MINDIR, compared before they are kept."""
