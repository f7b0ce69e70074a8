"""The network: its layers, its input cells, what a checkpoint says of it."""
