"""A Tiny-DarkNet of 4 layers in place of 16, for tests of what surrounds it: its graphs compile in a third of the time.

Python imports this file at its start wherever PYTHONPATH names this folder; the fixture `short_network` (conftest.py)
sees to that, and does the same in the process of the tests.
"""

from tinydarknet.model import architecture
from tinydarknet.model.architecture import Layer

architecture.LAYERS = (Layer(16, 3, pool=True), Layer(32, 3, pool=True), Layer(128, 1), Layer(0, 1))
