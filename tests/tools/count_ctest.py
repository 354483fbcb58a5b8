#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the passed tests in a `ctest -V` log: Criterion's own tests, and one per plain program."""
import re
import sys


def main() -> None:
    passed = 0
    inside = {}
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        for line in log:
            synthesis = re.match(r"^(\d+): .*Synthesis: .*Passing: .*?(\d+)", line)
            if synthesis:
                numbers = re.search(r"Passing: (?:\x1b\[[0-9;]*m)*(\d+)", line)
                inside[synthesis.group(1)] = int(numbers.group(1)) if numbers else 0
            ended = re.match(r"^ *\d+/\d+ Test +#(\d+): \S+ \.+ +Passed", line)
            if ended:
                passed += inside.get(ended.group(1), 1)
    print(passed)


main()
