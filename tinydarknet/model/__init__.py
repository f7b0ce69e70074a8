"""Batches -> logits.

architecture.py   the 16 layers as tables: pure
inputs.py         the first cells: planes or pixels -> normalised RGB
network.py        the rest, from the tables
checkpoint.py     parameters and what belongs to them, in a file
description.py    what a checkpoint says of its network
"""
