#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_scripts.py KIND JOBS LOG_FOLDER SCRIPT...: runs test scripts, JOBS at a time, and counts their checks.

Each prints `ok - SENTENCE` and `not ok - SENTENCE` lines. One that leaves a process behind has failed, and the process
is ended. Most of their time is waiting, so that several fit one machine. They have time limits, and machines stand still for a second now and then: one that fails is repeated once,
when nothing else runs, and that is said. A script's head may say

    # Alone: REASON        nothing else runs meanwhile
    # One of NAME: REASON  never beside another script that says the same name

"PASSED FAILED" is the only line on stdout. Ctrl-C and SIGTERM end what runs, and let it clean up after itself.
"""
import os
import re
import signal
import subprocess
import sys
import time

SECONDS_MAX = 900
SECONDS_TO_CLEAN_UP = 30
SECONDS_OF_ORPHANS = 2  # what was told to end may take as long
HEAD_LINES = 15
REMARKS_SHOWN = 40


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def processes_of_session(session: int) -> dict[int, str]:
    """Those that run, with their commands."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _parent, _group, of_session = file.read().rpartition(")")[2].split()[:4]
            with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                command = file.read().replace("\0", " ").strip()
        except (OSError, ValueError):
            continue  # no process, or gone meanwhile
        if int(of_session) == session and state not in "ZX":
            found[int(name)] = command
    return found


class Script:
    def __init__(self, path: str, kind: str, folder: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.log = os.path.join(folder, f"{kind}-{self.name.removesuffix('.sh')}.log")
        with open(path, encoding="utf-8") as file:
            head = "".join(file.readlines()[:HEAD_LINES])
        self.alone = re.search(r"^# Alone: ", head, re.M) is not None
        self.group = (re.findall(r"^# One of ([^:]+): ", head, re.M) or [None])[0]
        self.process: subprocess.Popen | None = None
        self.started = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        with open(self.log, "wb") as log:
            # A session of its own: Ctrl-C reaches this program, which ends the script as SIGTERM does.
            self.process = subprocess.Popen([self.path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def end(self) -> None:
        try:
            self.process.terminate()
            self.process.wait(SECONDS_TO_CLEAN_UP)
        except subprocess.TimeoutExpired:
            pass
        try: # what it left behind in its group, too
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def lines(self, beginning: str) -> list[str]:
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [line.rstrip("\n") for line in log if line.startswith(beginning)]

    def end_orphans(self) -> dict[int, str]:
        """What is still there of a script that has ended."""
        deadline = time.monotonic() + SECONDS_OF_ORPHANS
        while (orphans := processes_of_session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in orphans:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return orphans

    def has_ended(self) -> bool:
        """When it has, what it says of itself is in its log."""
        late = self.process.poll() is None and self.seconds() > SECONDS_MAX
        if late:
            self.end()
        status = self.process.poll()
        if status is None:
            return False
        if (status != 0 or late) and not self.lines("not ok - "):
            how = f"was ended after {SECONDS_MAX} s" if late else f"ended with status {status}"
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"not ok - {self.name} {how}\n")
        for pid, command in self.end_orphans().items():
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"not ok - {self.name} left process {pid} behind: {command}\n")
        return True


class Runner:
    def __init__(self, kind: str, jobs: int) -> None:
        self.kind = kind
        self.jobs = jobs
        self.running: list[Script] = []

    def may_start(self, script: Script) -> bool:
        if len(self.running) >= self.jobs:
            return False
        if self.running and (script.alone or any(other.alone for other in self.running)):
            return False
        return script.group is None or all(other.group != script.group for other in self.running)

    def run(self, scripts: list[Script]) -> list[Script]:
        """Those that failed."""
        # What has to wait for others comes first, what runs alone last.
        waiting = sorted(scripts, key=lambda script: (script.alone, script.group is None))
        failed = []
        while waiting or self.running:
            for script in [script for script in waiting]:
                if self.may_start(script):
                    waiting.remove(script)
                    self.running.append(script)
                    script.start()
            for script in [script for script in self.running if script.has_ended()]:
                self.running.remove(script)
                bad = script.lines("not ok - ")
                say(f"{self.kind}: {script.name} ({script.seconds():.0f} s)" + (", failed" if bad else ""))
                if bad:
                    failed.append(script)
            time.sleep(0.05)
        return failed

    def end_all(self) -> None:
        for script in self.running:
            script.process.terminate()
        for script in self.running:
            script.end()


def show_failure(script: Script) -> None:
    for line in script.lines("not ok - "):
        say(line)
    say(f"  (log: {script.log})")
    with open(script.log, encoding="utf-8", errors="replace") as log:
        for line in log.readlines()[-40:]:
            say("  | " + line.rstrip("\n"))


def show_first_try(script: Script) -> None:
    """What failed, and what the script remarked on it."""
    with open(script.log + ".first", encoding="utf-8", errors="replace") as log:
        lines = [line.rstrip("\n") for line in log]
    for line in lines:
        if line.startswith("not ok - "):
            say("  first try: " + line.removeprefix("not ok - "))
    for line in [line for line in lines if line.startswith("# ")][:REMARKS_SHOWN]:
        say("  first try: " + line)


def interrupted(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    kind, jobs, folder, paths = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    scripts = [Script(path, kind, folder) for path in paths]
    runner = Runner(kind, jobs)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        failed = runner.run(scripts)
        runner.jobs = 1
        for script in failed:
            os.replace(script.log, script.log + ".first")
            say(f"{kind}: {script.name} again, by itself (log: {script.log}.first)")
            show_first_try(script)
        for script in runner.run(failed):
            show_failure(script)
    except SystemExit:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        runner.end_all()
        raise
    passed = sum(len(script.lines("ok - ")) for script in scripts)
    bad = sum(len(script.lines("not ok - ")) for script in scripts)
    say(f"{kind}: {passed} passed, {bad} failed")
    print(passed, bad)
    return 0


sys.exit(main())
