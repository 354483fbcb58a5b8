#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_scripts.py counts what scripts say, keeps those apart that must be, and ends them when it is ended."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_scripts.py")
TRACE = 'echo "begin $0" >>"$(dirname "$0")/trace"; sleep 0.3; echo "end $0" >>"$(dirname "$0")/trace"\n'


def write(folder: str, name: str, body: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/bash\n" + body)
    os.chmod(path, 0o755)
    return path


def start(folder: str, jobs: int, scripts: list[str]) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, TOOL, "kind", str(jobs), folder, *scripts], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(folder: str, jobs: int, scripts: list[str]) -> tuple[str, str]:
    return start(folder, jobs, scripts).communicate(timeout=60)


def overlaps(folder: str) -> set[frozenset[str]]:
    pairs, running = set(), []
    with open(os.path.join(folder, "trace"), encoding="utf-8") as trace:
        for line in trace:
            what, path = line.split()
            name = os.path.basename(path)
            if what == "end":
                running.remove(name)
                continue
            pairs.update(frozenset((name, other)) for other in running)
            running.append(name)
    return pairs


def checks_are_counted(folder: str) -> None:
    good = write(folder, "good.sh", 'echo "ok - a"; echo "# not ok - b"; echo "ok - c"\n')
    bad = write(folder, "bad.sh", 'echo "ok - a"; echo "not ok - always"; exit 1\n')
    dies = write(folder, "dies.sh", 'echo "ok - a"; exit 3\n')
    flaky = write(folder, "flaky.sh", 'touch "$0.$$"; n=$(ls "$0".* | wc -l); [ "$n" = 2 ] && echo "ok - a" || echo "not ok - once"\n')
    out, err = run(folder, 3, [good, bad, dies, flaky])
    assert out == "5 2\n", (out, err)
    assert "not ok - always" in err and "not ok - dies.sh ended with status 3" in err, err
    assert "first try: once" in err and "good.sh again" not in err, err


def the_kept_apart_never_overlap(folder: str) -> None:
    plain = [write(folder, f"plain{i}.sh", TRACE) for i in range(3)]
    kin = [write(folder, f"kin{i}.sh", "# One of a place: it is looked at\n" + TRACE) for i in range(3)]
    alone = [write(folder, f"alone{i}.sh", "# Alone: it measures\n" + TRACE) for i in range(2)]
    run(folder, 4, plain + alone + kin)
    pairs = overlaps(folder)
    assert pairs, "nothing ran beside anything"
    for pair in pairs:
        assert not any("alone" in name for name in pair), pairs
        assert not all("kin" in name for name in pair), pairs


def runs(pid: str) -> bool:
    """One that nobody has reaped yet does not."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            return words.read() != b""
    except OSError:
        return False


def when_ended_scripts_clean_up(folder: str) -> None:
    slow = write(folder, "slow.sh", 'trap \'echo clean >"$0.cleaned"; exit 1\' TERM\n'
                 'sleep 60 & echo $! >"$0.begun.new"; mv "$0.begun.new" "$0.begun"; wait\n')
    for number in (signal.SIGTERM, signal.SIGINT):
        tool = start(folder, 2, [slow])
        end = time.monotonic() + 20
        while not os.path.exists(slow + ".begun") and time.monotonic() < end:
            time.sleep(0.02)
        tool.send_signal(number)
        out, _ = tool.communicate(timeout=40)
        assert tool.returncode == 128 + number and out == "", (tool.returncode, out)
        assert os.path.exists(slow + ".cleaned")
        with open(slow + ".begun", encoding="utf-8") as begun:
            left = begun.read().strip()
        end = time.monotonic() + 20  # it is killed, and dies when it next has a processor
        while runs(left) and time.monotonic() < end:
            time.sleep(0.02)
        assert not runs(left), left
        os.remove(slow + ".cleaned")
        os.remove(slow + ".begun")


def main() -> int:
    for test in (checks_are_counted, the_kept_apart_never_overlap, when_ended_scripts_clean_up):
        with tempfile.TemporaryDirectory() as folder:
            test(folder)
            print("ok - " + re.sub("_", " ", test.__name__))
    return 0


sys.exit(main())
