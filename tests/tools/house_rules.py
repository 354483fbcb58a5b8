#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that no other tool checks, on the text of the tree that git lists below here.

Layers, pure modules, banned calls, descriptors, units, sizes, licences; that the man pages of the
two YAML files name every key and no other; that every field of the wire schema is bounded.
build_rules.py checks what needs a build. Prints one line per finding; exit status 1 when there
is any. test_house_rules.py makes a violation of each kind.
"""
import re
import subprocess
import sys

LICENCE = "// SPDX-License-Identifier: GPL-3.0-or-later"
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
BANNED = (
    "strcpy strcat sprintf strtok atoi atol system popen signal rand srand localtime gmtime "
    "gets vsprintf alloca vfork creat mktemp tmpnam mkstemp"
).split()
BANNED_ALLOWED = set()  # (file, function): why
LAYERS = {
    "base": {"base"},
    "overlay": {"overlay", "base"},
    "images": {"images", "base"},
    "sandbox": {"sandbox", "base"},
    "agent": {"agent", "images", "sandbox", "overlay", "base"},
}
PRODUCT = tuple(f"{layer}/" for layer in LAYERS)
PURE = (
    "overlay/", "agent/core/", "agent/manager/", "agent/executor/", "agent/policy/", "images/manifest",
    "images/tree", "images/plan", "images/archive_rules", "images/archive_text", "images/yaml_",
    "sandbox/spec.", "sandbox/request.", "sandbox/health.",
    "base/wire.", "base/ids.", "base/units.", "base/hash.",
)
PURE_BANNED = re.compile(
    r"(?<![\w.>])(open|openat|fopen|socket|connect|bind|listen|accept4?|send|recv|sendmsg|recvmsg|"
    r"read|write|pread|pwrite|unlink|mkdir|rename|stat|fstat|fork|execve|printf|fprintf|puts|"
    r"time|clock_gettime|gettimeofday|usleep|nanosleep|sleep|poll|select|getenv|"
    r"getrandom|randombytes_buf|random|pthread_create|malloc|realloc|strdup|asprintf)\s*\("
)
# (start of a path, function): why
PURE_ALLOWED = {}
PURE_CALLOC = re.compile(r"(?<![\w.>])calloc\s*\(")  # at initialisation: in a function x_new
MUTABLE = re.compile(r"^(?:static\s+)?(?!const\b|extern\b|typedef\b|return\b|(?:struct|union|enum) \w+\s*[{;])"
                     r"(?:struct |enum |union )?\w+(?: \w+)* \**\w+(?:\[[^\]]*\])*\s*(?:=.*)?;\s*$")

CLOEXEC_CALLS = re.compile(
    r"(?<![\w.>])(open|openat|socket|socketpair|accept4?|pipe2?|dup3?|memfd_create|epoll_create1?|"
    r"eventfd|signalfd|timerfd_create|inotify_init1?|mkostemp|open_tree|fsopen|fsmount)\s*\("
)
FOPEN = re.compile(r"(?<![\w.>])(?:fopen|fdopen|freopen)\s*\(")
UNITLESS = re.compile(
    r"^\s+(?:const )?(?:u?int\d*_t|size_t|ssize_t|off_t|time_t|unsigned|int|long|double|float)"
    r"(?: (?:int|long))* (\w+_)?(size|timeout|limit|quota|delay|interval|duration|age|memory|disk)"
    r"(?:\[[^\]]*\])?\s*(?:=[^;]*)?;"
)


def files(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


TOKENS = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.S,
)


def without(text, kinds):
    """The text with comments or strings blanked, line numbers kept."""
    blank = lambda match: (
        re.sub(r"[^\n]", " ", match.group(0)) if match.lastgroup in kinds else match.group(0)
    )
    return TOKENS.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def call_at(text, start):
    """The call that begins at start, up to its closing parenthesis."""
    depth = 0
    for end in range(text.index("(", start), len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[start : end + 1]
    return text[start:]


def check_c(path, report):
    text = read(path)
    lines = text.splitlines()
    if not lines or lines[0] != LICENCE:
        report(path, 1, "the first line is not the licence")
    if len(lines) > FILE_LINES_MAX:
        report(path, len(lines), f"longer than {FILE_LINES_MAX} lines")
    if path.endswith(".h") and "#pragma once" not in lines:
        report(path, 1, "no #pragma once")
    code = without(text, ("comment", "text"))
    check_layers(path, lines, report)
    check_banned(path, code, report)
    check_functions(path, code, report)
    if path.startswith(PURE):
        check_pure(path, code, report)
    if path.startswith(PRODUCT) or path.startswith("tests/sim/"):
        check_descriptors(path, without(text, ("comment",)), code, report)
        check_units(path, code, report)


def check_layers(path, lines, report):
    layer = path.split("/")[0]
    for number, line in enumerate(lines, 1):
        included = re.match(r'\s*#\s*include\s+["<](\w+)/', line)
        if included and layer in LAYERS and included.group(1) in set(LAYERS) | {"tests"}:
            if included.group(1) not in LAYERS[layer]:
                report(path, number, f"{layer}/ must not include {included.group(1)}/")


def check_banned(path, code, report):
    if path.startswith("tests/unit/"):
        return
    for match in re.finditer(rf"(?<![\w.>])({'|'.join(BANNED)})\s*\(", code):
        if (path, match.group(1)) not in BANNED_ALLOWED:
            report(path, line_of(code, match.start()), f"banned: {match.group(1)}")


def check_pure(path, code, report):
    allowed = {name for start, name in PURE_ALLOWED if path.startswith(start)}
    for match in PURE_BANNED.finditer(code):
        if match.group(1) not in allowed:
            report(path, line_of(code, match.start()), f"not pure: {match.group(1)}")
    for start, end, name in functions(code):
        body = "\n".join(code.splitlines()[start - 1 : end])
        if PURE_CALLOC.search(body) and not name.endswith("_new"):
            report(path, start, f"not pure: {name} allocates (only x_new may)")
        if re.search(r"^\s+static (?!const\b|_Thread_local const\b)(?!.*\bconst \w+(\[.*\])? =)",
                     body, re.M):
            report(path, start, f"not pure: {name} keeps state of its own")
    depth = 0
    for number, line in enumerate(code.splitlines(), 1):
        if depth == 0 and MUTABLE.match(line) and "(" not in line.split("=")[0]:
            if not re.search(r"\*const \w+|\bconst\b", line.split("=")[0]):
                report(path, number, "not pure: state of the file")
        depth += line.count("{") - line.count("}")


def check_descriptors(path, text, code, report):
    for match in CLOEXEC_CALLS.finditer(code):
        if "CLOEXEC" not in call_at(code, match.start()):
            report(path, line_of(code, match.start()), f"{match.group(1)} without CLOEXEC")
    for match in FOPEN.finditer(code):
        if not re.search(r'"[rwa][+be]*e[+be]*"\s*\)$', call_at(text, match.start())):
            report(path, line_of(code, match.start()), "fopen without e")
    for match in re.finditer(r"\bF_DUPFD\b", code):
        report(path, line_of(code, match.start()), "F_DUPFD without CLOEXEC")


def check_units(path, code, report):
    for number, line in enumerate(code.splitlines(), 1):
        if UNITLESS.match(line):
            report(path, number, f"a quantity without its unit: {line.strip()}")


def functions(code):
    """(line of the brace, last line, name) of each function."""
    start, name, head = None, "", ""
    for number, line in enumerate(code.splitlines(), 1):
        if line.startswith("{"):
            start = number
            found = re.search(r"(\w+)\s*\(", head)
            name = found.group(1) if found else ""
        elif line.startswith("}"):
            if start is not None:
                yield start, number, name
            start, head = None, ""
        elif start is None:
            head = line if re.match(r"\w", line) else head + line


def check_functions(path, code, report):
    for start, end, _ in functions(code):
        if end - start + 1 > FUNCTION_LINES_MAX:
            report(path, start, f"function of {end - start + 1} lines")


# ---------------------------------------------------------------- man pages

YAML_FILES = (
    ("agent/mingad/config/config.c", "packaging/man/minga.yaml.5"),
    ("images/manifest_table.c", "packaging/man/service.yaml.5"),
)


def keys_of_table(path):
    """What a person can write: rows that are neither mappings nor refused nor list elements."""
    keys = {}
    code = without(read(path), ("comment",))
    for match in re.finditer(r'\{\s*(?:\.path = )?"([a-z_.\[\]]+)",\s*(?:\.type = )?(YAML_\w+)', code):
        key, kind = match.groups()
        if kind not in ("YAML_MAPPING", "YAML_REFUSED") and not key.endswith("[]"):
            keys[key.replace("[]", "")] = line_of(code, match.start())
    return keys


def keys_of_page(path):
    """Keys of the list, and (lists of mappings) the .Li words within their item."""
    keys, item, words = {}, "", {}
    for number, line in enumerate(read(path).splitlines(), 1):
        if line.startswith(".It Li "):
            item = ""
            for key in re.split(r"\s*,\s*|\s+", line[len(".It Li ") :].strip()):
                if key:
                    keys[key] = number
                    item = item or key
        elif line.startswith(".El"):
            item = ""
        elif item and line.startswith((".Li ", ".Pq Li ")):
            for word in re.findall(r"[a-z_]+", line):
                words[f"{item}.{word}"] = number
    return keys, words


def check_pages(report):
    listed = set(files("*"))
    for table, page in YAML_FILES:
        if table not in listed or page not in listed:
            continue
        keys = keys_of_table(table)
        told, words = keys_of_page(page)
        if not keys:
            report(table, 1, "no keys found: has the form of the table changed?")
        for key, number in keys.items():
            if key not in told and key not in words:
                report(table, number, f"{key} is missing in {page}")
        for key, number in told.items():
            if key not in keys and not re.search(rf'"{re.escape(key)}", ?\.?\w* ?=? ?YAML_REFUSED',
                                                 re.sub(r"\s+", " ", read(table))):
                report(page, number, f"{key} is no key of {table}")


# ---------------------------------------------------------------- wire schema


def fields_of(proto):
    """(message, field, is_repeated, type, line); fields of a oneof are the message's."""
    stack = []
    for number, line in enumerate(proto.splitlines(), 1):
        opened = re.match(r"\s*(message|enum|oneof)\s+(\w+)\s*\{", line)
        if opened:
            stack.append(opened.groups())
        field = re.match(r"\s*(repeated\s+|optional\s+)?([\w.]+)\s+(\w+)\s*=\s*\d+\s*(?:\[.*\])?;", line)
        messages = [name for kind, name in stack if kind == "message"]
        if field and messages and stack[-1][0] != "enum":
            repeated = (field.group(1) or "").startswith("repeated")
            yield messages[-1], field.group(3), repeated, field.group(2), number
        stack = stack[: len(stack) - line.count("}")] if "}" in line else stack


def check_schema(report):
    for path in files("*.proto"):
        options_path = path[: -len(".proto")] + ".options"
        proto = re.sub(r"//[^\n]*", "", read(path))
        package = re.search(r"^package (\w+);", proto, re.M).group(1)
        options = {}
        for line in read(options_path).splitlines():
            words = line.split("#")[0].split()
            if words:
                options[words[0]] = words[1:]
        known = set()
        for message, field, repeated, kind, number in fields_of(proto):
            name = f"{package}.{message}.{field}"
            known.add(name)
            bounds = " ".join(options.get(name, ()))
            if repeated and "max_count:" not in bounds:
                report(path, number, f"{name} is repeated without max_count")
            if kind == "bytes" and "max_size:" not in bounds:
                report(path, number, f"{name} has no max_size")
            if kind == "string" and not re.search("max_(length|size):", bounds):
                report(path, number, f"{name} has no max_length")
        for name in options:
            if name not in known:
                report(options_path, 1, f"{name} is no field of {path}")


def main():
    findings = []
    report = lambda path, line, what: findings.append(f"{path}:{line}: {what}")
    for path in files("*.c", "*.h"):
        check_c(path, report)
    check_pages(report)
    check_schema(report)
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
