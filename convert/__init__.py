"""ImageNet as people have it -> a dataset directory of verified MindRecord shards."""
