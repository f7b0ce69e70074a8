"""Exports a checkpoint: `python -m tinydarknet.export --checkpoint-path FILE --file-format onnx mindir`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from convert.cli import Command, main_single
from tinydarknet.export.options import ExportOptions


def export_checkpoint(options: ExportOptions) -> None:
    """Carry out the command."""
    from tinydarknet.config import DeviceConfig
    from tinydarknet.device import set_up

    # cards round float32 products to 19 bits or fewer (HF32): what files are held against is computed here
    set_up(DeviceConfig(device_target="CPU"))

    from tinydarknet.export.export import export_all

    export_all(options)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.export", Command(ExportOptions, export_checkpoint))


if __name__ == "__main__":
    main()
