"""One run: from a configuration to checkpoints, exactly and resumably."""
