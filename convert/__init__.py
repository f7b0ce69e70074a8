"""ImageNet as people have it -> a dataset directory of verified MindRecord shards.

In the order in which data passes:

sources/     every packaging -> one listing of files
image/       one file -> one payload
dataset/     what a dataset directory is: the contract with training, and `Dataset`, the way in
job/         options -> shards, restartable
run.py, verify.py, inspect.py, doctor.py, sample.py    the commands of `python -m convert`

Below them all: cli.py, errors.py, durable_files.py, entries.py, json_fields.py, processors.py, signals.py.
"""

__version__ = "0.1.0"
