"""Trains: `python -m tinydarknet.train --data-path DIR --val-data-path DIR [options]`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import sys

from convert.cli import Command, main_single
from tinydarknet.config import TrainConfig
from tinydarknet.config_file import expand


def train(config: TrainConfig) -> int:
    """Carry out the command; MindSpore is imported only here, so that --help answers at once."""
    from tinydarknet.train import training

    return training.train(config)


def main() -> None:
    """Run the command line."""
    command = Command(TrainConfig, train)
    main_single("python -m tinydarknet.train", command, expand=lambda: expand(sys.argv[1:], TrainConfig))


if __name__ == "__main__":
    main()
