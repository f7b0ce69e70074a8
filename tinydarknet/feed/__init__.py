"""A dataset directory -> batches, in the right order, before the network asks for them.

loader.py       picks and builds the feed for a dataset: open_train_feed, open_eval_feed
order.py        which row where: pure; a run's steps as rows, for one rank
augment.py      crops, flips, colour factors: pure; hashing.py: chance as a function
batch_plan.py   what each batch will hold
planes.py       payloads -> uint8 planes and colour matrices, by way of
kernels.py      compiled loops over pixels: the hot loop
dvpp.py         batches of pixels, decoded by Ascend's hardware
reference.py    float32 RGB, as the reference did it
damage.py       damaged rows: named, or replaced and counted
prefetch.py     batches made ahead, in reused buffers
"""
