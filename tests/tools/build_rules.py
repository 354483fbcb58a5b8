#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that need a build: build_rules.py BUILD_FOLDER

Each header compiles alone, and pure code has no writable state: neither in a file nor in a
function. Prints one line per finding; exit status 1 when there is any.
"""
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
from house_rules import PURE, files

# As the compiler names them; what the sanitizers and the constructors add is not ours.
WRITABLE = re.compile(r"^\.(data|bss|tdata|tbss)(?!\.rel\.ro)|^\*COM\*$")
ADDED = re.compile(r"^(\.|__(asan|odr_asan|ubsan|sancov|llvm|gcov|profc)|\$|_?\.?L|asan\.)")
# (start of the object's path, symbol): why
STATE_ALLOWED = {}


def commands(build):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return json.load(file)


def options_of(entries):
    """Include paths and definitions of all targets together, but for those with tiny limits."""
    options = []
    for entry in entries:
        words = shlex.split(entry["command"])
        if "-DMINGA_TINY_LIMITS" in words:
            continue
        for place, word in enumerate(words):
            option = (word, words[place + 1]) if word == "-isystem" else (word,)
            if word.startswith(("-I", "-D", "-isystem")) and option not in options:
                options.append(option)
    return [word for option in options for word in option]


def check_headers(build, report):
    options = options_of(commands(build))

    def compile_alone(path):
        return path, subprocess.run(
            ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-fsyntax-only", "-x", "c", "-I", ".",
             "-I", build, *options, "-include", path, "/dev/null"],
            capture_output=True, text=True,
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, result in pool.map(compile_alone, files("*.h")):
            if result.returncode != 0 or result.stderr:
                first = next((l for l in result.stderr.splitlines() if "error" in l or "warning" in l),
                             "it does not compile")
                report(path, f"not a header of its own: {first}")


def check_state(build, report):
    seen = 0
    for entry in commands(build):
        source = os.path.relpath(entry["file"])
        if not source.startswith(PURE):
            continue
        words = shlex.split(entry["command"])
        target = os.path.join(entry["directory"], words[words.index("-o") + 1])
        if not os.path.exists(target):
            report(source, f"has not been built: {target}")
            continue
        seen += 1
        table = subprocess.run(["objdump", "-t", target], capture_output=True, text=True, check=True)
        for line in table.stdout.splitlines():
            symbol = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)$", line)
            if not symbol or not WRITABLE.match(symbol.group(2)) or "d" in symbol.group(1):
                continue
            if int(symbol.group(3), 16) == 0 or ADDED.match(symbol.group(4)):
                continue
            if (source, symbol.group(4)) not in STATE_ALLOWED:
                report(source, f"not pure: {symbol.group(4)} is writable ({symbol.group(2)})")
    if seen == 0:
        report(build, "no object of pure code was found")


def main():
    findings = []
    report = lambda path, what: findings.append(f"{path}: {what}")
    check_headers(sys.argv[1], report)
    check_state(sys.argv[1], report)
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


main()
