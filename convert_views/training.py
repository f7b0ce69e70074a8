"""What training makes of each image: random crops, flips and colours of its first epochs."""

from tinydarknet.feed.preview import training_views as pictures

__all__ = ["pictures"]
