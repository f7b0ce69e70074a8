"""A dataset directory -> a trained, evaluated, exported Tiny-DarkNet."""
