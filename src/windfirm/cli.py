"""The command line: parse, call, print. Each command's work is in commands/, imported only when it is run."""

import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from windfirm import __version__
from windfirm.commands.declare import measuring, pruning, studies, training
from windfirm.commands.options import Parser
from windfirm.errors import WindfirmError, expected, first_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 after one line on stderr that says where, what was expected, and what it got.

    130 after an interrupt, 143 after SIGTERM, 1 when the reader of standard output has gone, 3 when a study has failed
    cells or damage.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as for some services
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as on stderr: many a pipe has no ′ and no −
    args, unknown = parser().parse_known_args(argv)
    if unknown:
        args.parser.error(expected("arguments", "those it knows", unknown[0] + args.parser.hint(unknown[0])))
    try:
        with _terminable():
            command = importlib.import_module(f"windfirm.commands.{args.command.replace('-', '_')}")
            if "" not in sys.path:
                sys.path.append("")  # finds the user's module:factory; last, so that no file there hides one of others
            from windfirm.commands.printing import document_alone  # heavy, and there already, as every command prints

            with document_alone() if args.json else nullcontext():
                code = command.run(args)
            sys.stdout.flush()
    except WindfirmError as error:
        return _complain(args.command, str(error))
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENAMETOOLONG) and error.filename is not None:
            return _complain(args.command, expected(str(error.filename), "a path that can be used", error.strerror))
        if error.filename is not None:  # not a write to standard output, and no bad input either: show all of it
            raise
        _drop_output()
        return _complain(args.command, expected("output", "a place that can be written", error.strerror or error))
    except (MemoryError, RuntimeError) as error:
        from windfirm.models.device import out_of_memory  # heavy, and there already when a network ran

        if not out_of_memory(error):
            raise
        return _complain(args.command, expected("memory", "enough for such a network and images", first_line(error)))
    except KeyboardInterrupt as stop:
        _complain(args.command, "stopped")
        return 143 if isinstance(stop, _Terminated) else 130
    return code or 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside the block SIGTERM (docker stop, Slurm, timeout) ends a command as orderly as Ctrl-C does."""
    ours = threading.current_thread() is threading.main_thread()  # another may not decide about signals
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != process:  # forked, as by a loader of the user's, which ends it in this way
            os._exit(128 + number)
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _complain(command: str, message: str) -> int:
    sys.stderr.write(f"windfirm {command}: {message}\n")
    return 2


def _drop_output() -> None:
    """Let what is left in the buffer of standard output go nowhere, else Python complains once more at its end."""
    with suppress(ValueError):  # a caller's own object, which has no file behind it
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)


def parser() -> Parser:
    """All commands and their options; imports nothing heavy."""
    top = Parser(
        prog="windfirm",
        description="Prune a network, prove the cut, and measure what it did to robustness.",
        epilog="start with:\n  windfirm quickstart",
    )
    top.add_argument("--version", action="version", version=f"windfirm {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for declare in (
        measuring.quickstart,
        studies.data,
        training.train,
        training.train_stylizer,
        pruning.inspect,
        pruning.prune,
        measuring.attack,
        measuring.compare,
        studies.run,
        studies.study,
        studies.report,
        studies.reproduce,
        pruning.export,
    ):
        declare(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
