"""Results -> documents; nothing here measures.

markers.py   the part of a document between two comments, replaced
tables.py    results -> Markdown tables
page.py      all results -> docs/benchmarks.md, and the READMEs' table
plots.py     results -> SVG files, the same bytes every time
"""
