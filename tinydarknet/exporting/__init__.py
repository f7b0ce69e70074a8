"""From a checkpoint to ONNX, MINDIR and what Ascend runs; each file reloaded and compared before it is kept.

writing.py      the whole export: stage, verify, publish
job.py          one run: what every writer needs
options.py      what it can be told
design.py       what an exported network computes, whatever file it goes into
folding.py      the same without batch norms: pure
onnx_graph.py   a design as an ONNX graph
cells.py        a design as a MindSpore network: MINDIR, AIR; mindir_names.py: plain names in it
quantizing.py   ONNX -> ONNX of 8 bits
ascend.py       AIPP configuration and atc command: OM
samples.py      images to compare, calibrate and score on
running.py      runs what was written; predictions use it, too
verifying.py    the same answers as the checkpoint's?
scoring.py      hits on a dataset
describing.py   from a design to its card
card.py         the JSON beside a file, for those who use it
"""
