"""Trains: `python -m tinydarknet.train --data-path DIR --val-data-path DIR [options]`."""

from __future__ import annotations

import sys

from convert.cli import EXIT_BAD_OPTIONS, Command, main_single
from tinydarknet.config import TrainConfig
from tinydarknet.config_file import expand


def train(config: TrainConfig) -> int:
    """Carry out the command; MindSpore is imported only here, so that --help answers at once."""
    from tinydarknet.train import training

    return training.train(config)


def main() -> None:
    """Run the command line."""
    try:
        arguments = expand(sys.argv[1:], TrainConfig)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_OPTIONS)
    main_single("python -m tinydarknet.train", Command(TrainConfig, train), arguments)


if __name__ == "__main__":
    main()
