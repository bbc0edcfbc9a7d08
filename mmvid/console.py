"""How a command ends: one sentence for a mistake of its user, an exit status for the shell."""

import os
import signal
import sys
from collections.abc import Callable


def run_command(main: Callable[[list[str]], None]) -> None:
    """Runs `main` on the words of the command line and exits.

    A ValueError or an OSError is bad input: it is shown as one sentence, status 1 (with the traceback, where
    MMVID_TRACEBACK is set). Any other exception is our own mistake and shows its traceback.
    """
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        if os.environ.get("MMVID_TRACEBACK"):
            raise
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if type(error) is not KeyboardInterrupt else signal.SIGINT
        sys.stderr.write("stopped\n")
        raise SystemExit(128 + number) from None
