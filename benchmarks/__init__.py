"""Measurements that name the bottleneck; each prints one JSON line per result."""
