"""A dataset directory -> a trained, evaluated, exported Tiny-DarkNet; a package per command.

In the order in which data passes:

feed/         a dataset's payloads -> batches; colour.py: colour factors -> one matrix per image
model/        batches -> logits
train/        the loop, over one rank or many; run_folder/: what it writes and the report reads
evaluate/     logits -> counts, tables, figures
export/       a checkpoint -> ONNX, MINDIR, what Ascend's compiler takes
predict/      picture files -> classes
report/       a run's folder -> one HTML page

Beside them: config.py and config_file.py (the options of a run), device.py and rank_share.py (where it runs),
launch.py and hosts.py (several ranks), darknet_weights.py (Darknet's own weights), preview.py (what training will see),
ascend.py (chips, cards, MindSpore's messages), ascend_check/ (a machine with cards -> one page of checks).
"""

import numpy as np

# numpy keeps them; on Arm importing MindSpore turns subnormal numbers off, and numpy would warn of it in eight lines
np.finfo(np.float32), np.finfo(np.float64)
