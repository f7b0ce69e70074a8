"""ImageNet as people have it -> a dataset directory of verified MindRecord shards."""

__version__ = "0.1.0"
