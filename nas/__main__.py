"""Where `nas` and `python -m nas` begin: an interrupt in the first moments ends the process without a word."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by a shell: what is opened next would take its place, here or in a worker
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it has its own; Python would print a traceback
    from nas.cli import main as run

    run()


if __name__ == "__main__":
    main()
