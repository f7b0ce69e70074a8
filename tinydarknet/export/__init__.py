"""From a checkpoint to ONNX, MINDIR and what Ascend runs; each file reloaded and compared before it is kept.

options.py       the options of the command
export.py        the whole export: stage, verify, publish
design.py        what an exported network computes, whatever file it goes into; batch norms folded: pure
onnx_file.py     a design as an ONNX graph, of float32 or 8 bits
mindir_file.py   a design as a MindSpore network: MINDIR
om_file.py       AIPP configuration and atc command: OM
samples.py       images to compare, calibrate and score on
runners.py       runs what was written; predictions use it, too
checks.py        the same answers as the checkpoint's? hits on a dataset
card.py          the JSON beside a file, for those who use it
"""
