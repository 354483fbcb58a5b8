#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that a guide tells its reader to type, in order, one NUL-terminated string each.

They are what stands behind "$ " in its blocks of ```console, with the lines of a here-document or
behind a backslash; everything else in such a block is what the commands print. A heading as second
argument: those of its section only."""
import re
import sys


def blocks(text):
    return re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(block):
    lines = iter(block.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = [line[2:]]
        here = re.search(r"<<'?(\w+)'?", line)
        while command[-1].endswith("\\"):
            command.append(next(lines))
        while here and command[-1] != here.group(1):
            command.append(next(lines))
        yield "\n".join(command)


def section(text, heading):
    start = text.index(f"\n## {heading}\n") + 1
    end = text.find("\n## ", start)
    return text[start:] if end < 0 else text[start:end + 1]


def main():
    with open(sys.argv[1], encoding="utf-8") as guide:
        text = guide.read()
    if len(sys.argv) > 2:
        text = section(text, sys.argv[2])
    for block in blocks(text):
        for command in commands(block):
            sys.stdout.write(command + "\0")


main()
