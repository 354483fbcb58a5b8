#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is drawn for one fault, link and message does not depend on the other faults.

Otherwise leaving a fault out would shuffle everything after it, and shrinking would be a lottery.
Usage: test_draws.py MINGA_SIM
"""
import re
import subprocess
import sys
import tempfile

HEAD = """seed 5
nodes 8
latency 20
loss 2
service 3 1
calm 60000
"""
FAULTS = [
    "at 13000 swizzle 1,2,3 for 6000",
    "at 15000 kill-agent 2 for 900",
    "at 17000 reorder 50 for 9000",
    "at 21000 cut 4 for 3000",
    "at 22000 lossy 60 for 8000",
    "at 23000 duplicate 70 for 9000",
    "at 30000 churn ipfs 9000 for 20000",
    "at 32000 swizzle 0,5 for 8000",
]
# Faults that are in force and do nothing: all else must stay as it is, to the last byte.
IDLE = [
    "at 14000 corrupt 0 for 30000", "at 14000 duplicate 0 for 8000", "at 14000 late-news 0 for 9000",
    "at 14000 high-water 1000 for 9000", "at 14000 bad-write 3 4000000 for 30000",
    "at 14000 bad-read 3 4000000 for 30000", "at 14000 crash-write 3 4000000 for 30000",
    "at 14000 lie 3 0 for 30000", "at 14000 withhold 3 0 for 30000", "at 14000 alter 3 0 for 30000",
    "at 14000 replay 3 0 for 30000", "at 14000 wall-forward 3 0 for 30000",
    "at 14000 fast-clock 3 0 for 30000", "at 14000 clog 3 3 for 9000",
]


def run(program, faults, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(HEAD + "\n".join(faults) + "\n")
        file.flush()
        return subprocess.run([program, "--schedule", file.name, *options], capture_output=True,
                              text=True, check=False).stdout


def drawn(trace):
    """What the trace says of draws: which links a swizzle clogs and until when, who goes and comes."""
    lines = [line for line in trace.splitlines() if "==== swizzle:" in line or "==== churn:" in line]
    return {re.sub(r"^\[ *(\d+)\] ", r"\1 ", line) for line in lines}


def lines_before(trace, at_ms):
    pattern = re.compile(r"^\[ *(\d+)\]")
    return [line for line in trace.splitlines()
            if pattern.match(line) and int(pattern.match(line).group(1)) < at_ms]


def main():
    program = sys.argv[1]
    failures = []
    whole = run(program, FAULTS, "--trace")
    expected = drawn(whole)
    if len(expected) < 40:
        failures.append(f"only {len(expected)} draws are traced")
    for index, fault in enumerate(FAULTS):
        rest = FAULTS[:index] + FAULTS[index + 1:]
        trace = run(program, rest, "--trace")
        at_ms = int(fault.split()[1])
        if not drawn(trace) <= expected:
            failures.append(f"without '{fault}': other draws: {sorted(drawn(trace) - expected)[:3]}")
        if lines_before(trace, at_ms) != lines_before(whole, at_ms):
            failures.append(f"without '{fault}': what comes before it has changed")
    wanted = re.search(r"hash (\w+)", whole).group(1)
    for fault in IDLE:
        got = re.search(r"hash (\w+)", run(program, FAULTS + [fault])).group(1)
        if got != wanted:
            failures.append(f"'{fault}' does nothing, and changes the course of events")
    print("\n".join(failures) if failures else "draws: independent")
    return 1 if failures else 0


sys.exit(main())
