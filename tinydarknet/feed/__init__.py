"""A dataset directory -> batches, in the right order, before the network asks for them.

opening.py    picks and builds the feed for a dataset: open_train_feed, open_eval_feed
choosing.py   which feed, and why
records.py    stored bytes by row, through mmap
order.py      which row where: pure
stream.py     a run's steps as rows, for one rank
augment.py    crops, flips, colour factors: pure
drawing.py    what each batch will hold
planes.py     yuv420 payloads -> uint8 planes, by way of
kernels.py    compiled loops over pixels: the hot loop
jpeg.py       JPEG payloads -> the same planes, decoded on the host
source.py     batches of planes and colour matrices
dvpp.py       batches of pixels, decoded by Ascend's hardware
reference.py  float32 RGB, as the reference did it
health.py     damaged rows: named, or replaced and counted
threaded.py   batches made ahead, in reused buffers
"""
