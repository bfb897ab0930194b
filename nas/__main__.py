"""Where `nas` and `python -m nas` begin: an interrupt in the first moments ends the process without a word."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it has its own; Python would print a traceback
    from nas.cli import main as run

    run()


if __name__ == "__main__":
    main()
