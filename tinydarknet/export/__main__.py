"""Exports a checkpoint: `python -m tinydarknet.export --checkpoint-path FILE --file-format onnx mindir`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from convert.cli import Command, main_single
from tinydarknet.export.options import ExportOptions


def export_checkpoint(options: ExportOptions) -> None:
    """Carry out the command."""
    from tinydarknet import device as devices

    device, _ = devices.set_up(options)

    from tinydarknet.export.export import export_all

    export_all(options, device.target)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.export", Command(ExportOptions, export_checkpoint))


if __name__ == "__main__":
    main()
