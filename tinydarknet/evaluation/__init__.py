"""From a feed and a network to counts."""
