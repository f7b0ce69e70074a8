"""From a feed and a network to counts, and to what lies behind them.

options.py      what the command can be told
run.py          carries it out: passes over the dataset, then words and files
scoring.py      a network over a feed: every image once, over all ranks
views.py        the images as they are, and mirrored
scores.py       logits -> what is kept of each image: pure
worst.py        the inputs with the highest losses, kept on the way
counting.py     scores -> counts, exact and in the reference's way: pure
tables.py       scores -> rows by class, by confused pair, by image: pure
calibration.py  scores -> how often a probability comes true: pure
outcome.py      what is said about it, to people and to machines: pure
plots.py        tables -> figures
sheet.py        the worst images -> one picture
writing.py      all of it -> a folder
"""
