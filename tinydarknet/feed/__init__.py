"""A dataset directory -> batches, in the right order, before the network asks for them.

records.py    stored bytes by id, through mmap
order.py      which id where: pure
stream.py     a run's steps as ids, for one rank
augment.py    crops, flips, colour factors: pure
planes.py     yuv420 payloads -> uint8 planes and colour matrices: the hot loop
reference.py  JPEG payloads -> float32 RGB, as the reference did it
threaded.py   batches made ahead, in reused buffers
opening.py    picks and builds the feed for a dataset
"""

from tinydarknet.feed.opening import Feed, FeedName, open_eval_feed, open_train_feed

__all__ = ["Feed", "FeedName", "open_eval_feed", "open_train_feed"]
