"""Exports a checkpoint: `python -m tinydarknet.export --checkpoint-path FILE --file-format onnx mindir`."""

from __future__ import annotations

from convert.cli import Command, main_single
from convert.errors import UserError
from tinydarknet.exporting.options import ExportOptions


def export_checkpoint(options: ExportOptions) -> None:
    """Carry out the command."""
    from tinydarknet import device as devices
    from tinydarknet.config import DeviceConfig

    device, _ = devices.set_up(DeviceConfig())
    if "air" in options.file_format and device.target != "Ascend":
        raise UserError(f"AIR can only be written on Ascend, this is {device.target}: export onnx or mindir here")

    from tinydarknet.exporting.writing import export_all

    export_all(options)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.export", Command(ExportOptions, export_checkpoint))


if __name__ == "__main__":
    main()
