"""Other toolkits' loaders on the same images, each as its own documentation would have it; run in an environment of their own.

protocol.py    what a loader is, and what it is asked for
catalogue.py   which loaders there are, and what has to be installed for each
install.py     makes the environment; remembers what could not be installed
turn.py        one measured turn of one loader, inside that environment: one JSON line
*_loader.py    one toolkit each
torch_training.py    Tiny-DarkNet and its whole training in PyTorch, for benchmarks/learning.py; clients.py takes the network

Nothing here imports this project's other rooms but the clock and the network's table of layers: the environment has neither MindSpore nor OpenCV.
"""
