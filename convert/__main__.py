"""`python -m convert {run,verify,inspect,doctor,sample}`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from convert.cli import Command, main_subcommands
from convert.doctor import doctor
from convert.inspect import InspectOptions, inspect
from convert.job.options import DoctorOptions, RunOptions
from convert.run import run
from convert.sample import SampleOptions, sample
from convert.verify import VerifyOptions, verify

COMMANDS = {
    "run": Command(RunOptions, run),
    "verify": Command(VerifyOptions, verify),
    "inspect": Command(InspectOptions, inspect),
    "doctor": Command(DoctorOptions, doctor),
    "sample": Command(SampleOptions, sample),
}


def main() -> None:
    """Run the command that the process's arguments name."""
    main_subcommands("python -m convert", "ImageNet as people have it to verified MindRecord shards.", COMMANDS)


if __name__ == "__main__":
    main()
