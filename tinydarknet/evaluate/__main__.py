"""Scores a network on a dataset: `python -m tinydarknet.evaluate --val-data-path DIR --checkpoint-path FILE`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from convert.cli import Command, main_single
from convert.dataset.manifest import load_manifest
from tinydarknet.evaluate.options import EvaluateOptions
from tinydarknet.evaluate.plots import check_matplotlib


def evaluate_checkpoint(options: EvaluateOptions) -> None:
    """Carry out the command.

    Raises:
        UserError: dataset, checkpoint or device are not what they should be, or images are missing from the counts.
    """
    manifest = load_manifest(options.val_data_path)
    if options.report_dir is not None and options.plots:
        check_matplotlib()
    from tinydarknet.evaluate.evaluation import evaluate_dataset

    evaluate_dataset(options, manifest)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.evaluate", Command(EvaluateOptions, evaluate_checkpoint))


if __name__ == "__main__":
    main()
