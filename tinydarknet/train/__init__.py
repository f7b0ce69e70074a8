"""One run: from a configuration to checkpoints, exactly and resumably.

assembly.py      a configuration -> network, optimiser, feed
schedule.py      learning rates, image sizes and milestones: pure
data.py          the batches of a stretch; validation in between
step.py          one update: loss, gradients, loss scale, optimiser
callback.py      what happens between steps
checkpoints.py   what is kept, and what a resumed run goes on from
training.py      the run put together
"""
