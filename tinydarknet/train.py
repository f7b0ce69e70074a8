"""Trains: `python -m tinydarknet.train --data-path DIR --val-data-path DIR [options]`."""

from __future__ import annotations

from convert.cli import Command, main_single
from tinydarknet.config import TrainConfig


def train(config: TrainConfig) -> int:
    """Carry out the command; MindSpore is imported only here, so that --help answers at once."""
    from tinydarknet import training

    return training.train(config)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.train", Command(TrainConfig, train))


if __name__ == "__main__":
    main()
