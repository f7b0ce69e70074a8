"""A run's folder -> one HTML page: log.py and folder.py read, summary.py and envelope.py compute, plots.py draws, page.py writes.

Nothing here imports MindSpore or needs the datasets; matplotlib and jinja2 (the extra `plots`) are imported where they are used.
"""
