"""How everything is measured.

harness.py         repeats, spread, environment -> one JSON line
clock.py           wall and CPU time of a process and its children
datasets.py        datasets to measure on, made once
training_feed.py   the feed as training opens it
hooks.py           times inside the feed and the network
stages.py          where a batch's time goes;  step_parts.py: where a step's goes
verdict.py         the bottleneck, named
loop.py, ports.py  a loop that fills a processor; a free port
"""
