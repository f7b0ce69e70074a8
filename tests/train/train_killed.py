"""`train_killed.py STEP ...`: tinydarknet.train, which kills itself once that step is in the log."""

import os
import signal
import sys

from tinydarknet.run_folder.log_writer import Reporter
from tinydarknet.train.__main__ import main

if __name__ == "__main__":
    last, tell = int(sys.argv.pop(1)), Reporter.event

    def event(self: Reporter, kind: str, fields: dict) -> None:
        tell(self, kind, fields)
        if kind == "step" and fields["step"] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Reporter.event = event
    main()
