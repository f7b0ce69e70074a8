"""A run's folder: what training writes and the report reads.

paths.py          which folder is whose, its options and checkpoints
log_writer.py     log.jsonl, log.csv and TensorBoard's events
log_reader.py     log.jsonl, read again
dataset_card.py   what is said about the dataset that was trained on
"""
