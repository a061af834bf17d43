"""Run medseg from the command line: every error becomes one line and an exit code."""

import multiprocessing
import sys

from medseg.errors import MedsegError

_DEBUG = "--debug"
_STOPPED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    multiprocessing.freeze_support()
    arguments = sys.argv[1:]
    debug = _DEBUG in arguments
    sys.exit(run([argument for argument in arguments if argument != _DEBUG], debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What stands behind `medseg`.
        debug: Let errors through with their traceback.
    """
    from medseg.cli import app
    from medseg.cli.console import err, out

    err.quiet = out.quiet = False  # an earlier run in this process may have followed another one
    try:
        app(arguments, prog_name="medseg")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
        if code == _STOPPED:
            sys.stderr.write("medseg: stopped\n")
        return code
    except BaseException as error:
        if debug:
            raise
        message, exit_code = _explained(error)
        sys.stderr.write(f"medseg: {message}\n")
        return exit_code
    return 0


def _explained(error: BaseException) -> tuple[str, int]:
    if isinstance(error, MedsegError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped", _STOPPED
    if isinstance(error, MemoryError):
        return "out of memory. Close other programs, or use a machine with more.", 1
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"an error in medseg itself: {reason}. Add --debug to see where.", 1


if __name__ == "__main__":
    main()
