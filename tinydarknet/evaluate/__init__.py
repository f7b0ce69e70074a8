"""From a feed and a network to counts, and to what lies behind them.

options.py        the options of the command
evaluation.py     carries it out: passes over the dataset, then words and files
passes.py         a network over a feed: every image once, over all ranks, as it is and mirrored
scores.py         logits -> scores -> counts and calibration: pure
worst.py          the inputs with the highest losses, kept on the way
tables.py         scores -> rows by class, by confused pair, by image: pure
result.py         what is said about it, to people and to machines: pure
plots.py          tables -> figures
result_folder.py  all of it -> a folder
"""
