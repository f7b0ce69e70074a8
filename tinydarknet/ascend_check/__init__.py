"""The acceptance run for owners of Ascend cards: everything that was never run on one, tried in order, on one page.

trials.py       the checks, each with its limit
workplace.py    what they share: a folder, a small dataset, processes in which devices are used
probe.py        what such a process computes on one device
software.py     which MindSpore, CANN, driver and Python belong together, and what this machine has
findings.py     what came of the checks, as JSON and as a page

Not run on Ascend here: the parts that need no card ran on the CPU.
"""
