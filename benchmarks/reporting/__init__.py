"""Results -> documents; nothing here measures.

results.py     what was measured, read back: which field says what
markdown.py    results -> Markdown tables
charts.py      results -> SVG files, the same bytes every time
documents.py   all results -> docs/benchmarks.md, and the READMEs' table
markers.py     the part of a document between two comments, replaced
"""
