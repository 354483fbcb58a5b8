#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that no other tool checks: layers, pure modules, banned calls, sizes, licences.

Prints one line per finding; exit status 1 when there is any.
"""
import re
import subprocess
import sys

BANNED = (
    "strcpy strcat sprintf strtok atoi atol system popen signal rand srand localtime gmtime "
    "gets vsprintf"
).split()
# The end of log_line's bounded buffer: room is kept for the one byte.
BANNED_ALLOWED = {("base/log.c", "strcat")}
LAYERS = {
    "base": {"base"},
    "overlay": {"overlay", "base"},
    "images": {"images", "base"},
    "sandbox": {"sandbox", "base"},
    "agent": {"agent", "images", "sandbox", "overlay", "base"},
}
PURE = ("overlay/", "agent/core/", "agent/manager/", "agent/executor/", "images/manifest", "images/tree",
        "images/plan", "images/archive_rules")
PURE_BANNED = re.compile(
    r"\b(open|openat|socket|read|write|time|clock_gettime|gettimeofday|usleep|sleep|poll|fopen|printf|"
    r"getrandom|randombytes_buf|random|pthread_create|malloc|realloc|strdup)\s*\("
)
PURE_ALLOWED = set()  # (file, function) with a reason beside it
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70


def files(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def without_comments(text):
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', blank, text)
    return re.sub(r"//[^\n]*", blank, text)


def check_c(path, report):
    with open(path, encoding="utf-8") as source:
        text = source.read()
    lines = text.splitlines()
    if not lines or lines[0] != "// SPDX-License-Identifier: GPL-3.0-or-later":
        report(path, 1, "the first line is not the licence")
    if len(lines) > FILE_LINES_MAX:
        report(path, len(lines), f"longer than {FILE_LINES_MAX} lines")
    code = without_comments(text)
    layer = path.split("/")[0]
    for number, line in enumerate(lines, 1):
        included = re.match(r'\s*#include "([a-z_]+)/', line)
        if included and layer in LAYERS and included.group(1) not in LAYERS[layer]:
            report(path, number, f"{layer}/ must not include {included.group(1)}/")
    for number, line in enumerate(code.splitlines(), 1):
        for call in BANNED if not path.startswith("tests/unit/") else ():
            if re.search(rf"(?<![\w.>]){call}\s*\(", line) and (path, call) not in BANNED_ALLOWED:
                report(path, number, f"banned: {call}")
        if path.startswith(PURE):
            hit = PURE_BANNED.search(line)
            if hit and (path, hit.group(1)) not in PURE_ALLOWED:
                report(path, number, f"not pure: {hit.group(1)}")
    check_functions(path, code, report)


def check_functions(path, code, report):
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                report(path, start, f"function of {number - start + 1} lines")
            start = None


def main():
    findings = []
    report = lambda path, line, what: findings.append(f"{path}:{line}: {what}")
    for path in files("*.c", "*.h"):
        check_c(path, report)
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


main()
