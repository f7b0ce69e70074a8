"""From image files to classes."""
