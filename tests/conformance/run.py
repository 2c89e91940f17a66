#!/usr/bin/env python3
"""Shows with programs that share nothing with the broker that its contract is what it says.

    tests/conformance/run.py --tools BIN_DIR [--programs DIR]

BIN_DIR holds grpcurl, buf and the Python that runs this, from requirements.txt. DIR holds the built programs, otherwise
those of `cargo build` are taken. One line for each check: "ok NAME", "FAILED NAME: why" or "skipped NAME: why"; status 1 if one failed.
"""

import argparse
import errno
import os
import signal
import sys
import traceback
from pathlib import Path

import with_buf
import with_grpcurl
import with_python
from stand import Failure, Stand, excerpt, run

# Everything together takes half a minute; a machine that is busy gets twenty times that.
LIMIT_S = 600


def interrupted(number, _frame):
    """A signal ends the programs that were started, too: as an exception it passes their clean-up."""
    name = signal.Signals(number).name
    raise SystemExit("FAILED conformance: not done in time" if name == "SIGALRM" else f"ended by {name}")


def report(name, check):
    """Runs one check and says how it went."""
    try:
        check()
    except Failure as failure:
        print(f"FAILED {name}: {failure}", flush=True)
        return False
    except Exception as error:  # A check that cannot read an answer has found something as well.
        here = Path(__file__).parent
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == here]
        steps = " > ".join(f"{Path(place.filename).name}:{place.lineno}" for place in places)
        print(f"FAILED {name}: {type(error).__name__}: {excerpt(str(error))} ({steps})", flush=True)
        return False
    print(f"ok {name}", flush=True)
    return True


def made_for_another_machine(program):
    """Whether a program is there but not for this processor: PyPI's grpcurl exists for x86-64 only."""
    try:
        done = run([str(program), "--help"])
    except OSError as error:
        return error.errno == errno.ENOEXEC
    return "Exec format error" in done.stderr


def clients(tools, stand):
    """Every client with its checks; a client that cannot run on this processor comes without."""
    for name, module in (("grpcurl", with_grpcurl), ("buf", with_buf)):
        program = tools / name
        checks = None if made_for_another_machine(program) else module.checks(program, stand)
        yield name, checks
    yield "python", with_python.checks(stand)


def main():
    """Runs every check against one broker."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", type=Path, required=True, metavar="BIN_DIR")
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    parser.add_argument("--programs", type=Path, default=target / "debug", metavar="DIR")
    arguments = parser.parse_args()
    programs = arguments.programs.absolute()
    for program in ("modem-broker", "modem-sim"):
        if not (programs / program).exists():
            print(f"FAILED conformance: {programs / program} is missing: cargo build")
            return 1

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    signal.alarm(LIMIT_S)
    failed = 0
    try:
        with Stand(programs) as stand:
            for client, checks in clients(arguments.tools.absolute(), stand):
                if checks is None:
                    print(f"skipped {client}: it was not made for this processor", flush=True)
                for name, check in checks or ():
                    failed += not report(f"{client}: {name}", check)
            if failed:
                print("\n".join(stand.logs()), file=sys.stderr)
    except Failure as failure:
        print(f"FAILED conformance: {failure}")
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
