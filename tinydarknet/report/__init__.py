"""A run's folder -> one HTML page.

run_record.py   a folder, read: its log, its options, its evaluation
summary.py      what is said about it: pure
figures.py      which plots stand on the page; svg.py draws them
page.py         all of it -> HTML

Nothing here imports MindSpore or needs the datasets; matplotlib and jinja2 (the extra `plots`) are imported where they are used.
"""
