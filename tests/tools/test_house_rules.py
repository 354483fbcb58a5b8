#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does house_rules.py find what it should? A tree with one violation, for each kind; and the same
without. Exit status 1 when it misses one, or finds what is not there."""
import os
import subprocess
import sys
import tempfile

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "house_rules.py")
L = "// SPDX-License-Identifier: GPL-3.0-or-later\n"
PROTO = 'syntax = "proto3";\npackage p;\nmessage M {\n%s\n}\n'
TABLE = L + 'static const struct yaml_key keys[] = {\n    {%s},\n};\n'
PAGE = ".Sh DESCRIPTION\n.Bl -tag\n%s\n.El\n"

# (what, {path: text}, what the one finding must say; None: nothing may be found)
CASES = [
    ("a clean file", {"overlay/a.c": L + "int a(int b)\n{\n    return b;\n}\n"}, None),
    ("licence", {"overlay/a.c": "int a;\n" * 0 + "// no\n"}, "licence"),
    ("long file", {"agent/cli/a.c": L + "\n" * 600}, "longer than 600"),
    ("file at the limit", {"agent/cli/a.c": L + "\n" * 599}, None),
    ("long function", {"agent/cli/a.c": L + "void a(void)\n{\n" + "\n" * 69 + "}\n"}, "of 71 lines"),
    ("function at the limit", {"agent/cli/a.c": L + "void a(void)\n{\n" + "\n" * 68 + "}\n"}, None),
    ("no pragma", {"base/a.h": L + "struct a;\n"}, "pragma once"),
    ("base up", {"base/a.c": L + '#include "overlay/ring/ring.h"\n'}, "base/ must not include overlay/"),
    ("sideways", {"sandbox/a.c": L + '#include "images/tree.h"\n'}, "must not include images/"),
    ("up", {"overlay/a.c": L + '#include "agent/core/core.h"\n'}, "must not include agent/"),
    ("up in angles", {"overlay/a.c": L + "#include <agent/core/core.h>\n"}, "not include agent/"),
    ("tests in the product", {"agent/cli/a.c": L + '#include "tests/sim/sim.h"\n'}, "include tests/"),
    ("down", {"agent/cli/a.c": L + '#include "overlay/ring/ring.h"\n'}, None),
    ("banned", {"agent/cli/a.c": L + "void a(void)\n{\n    strcpy(x, y);\n}\n"}, "banned: strcpy"),
    ("banned in words", {"agent/cli/a.c": L + '/* strcpy(x) "system(y)" */\n'}, None),
    ("comment signs in a string", {"agent/cli/a.c": L + 'void a(void)\n{\n    f("/*");\n'
                                   '    system(y); /* */\n}\n'}, "banned: system"),
    ("clock", {"agent/core/a.c": L + "void a(void)\n{\n    clock_gettime(0, &t);\n}\n"}, "not pure"),
    ("socket", {"overlay/a.c": L + "void a(void)\n{\n    send(fd, p, 1, 0);\n}\n"}, "not pure: send"),
    ("a member called send", {"overlay/a.c": L + "void a(void)\n{\n    b->send(p);\n}\n"}, None),
    ("heap", {"agent/manager/a.c": L + "void a(void)\n{\n    calloc(1, 2);\n}\n"}, "a allocates"),
    ("heap at the start", {"agent/manager/a.c": L + "void a_new(void)\n{\n    calloc(1, 2);\n}\n"}, None),
    ("file's state", {"overlay/a.c": L + "static uint64_t last_ms;\n"}, "state of the file"),
    ("file's state, set", {"overlay/a.c": L + "static struct ring ring = {0};\n"}, "state of the file"),
    ("file's constant", {"overlay/a.c": L + "static const uint64_t last_ms = 3;\n"}, None),
    ("function's state", {"overlay/a.c": L + "void a(void)\n{\n    static int count;\n}\n"}, "state of its own"),
    ("function's constant", {"overlay/a.c": L + 'void a(void)\n{\n    static const char b[] = "";\n}\n'}, None),
    ("open", {"agent/cli/a.c": L + "void a(void)\n{\n    fd = open(path,\n              O_RDONLY);\n}\n"}, "open without CLOEXEC"),
    ("open over two lines", {"agent/cli/a.c": L + "void a(void)\n{\n    fd = open(path,\n              O_RDONLY | O_CLOEXEC);\n}\n"}, None),
    ("socket", {"agent/cli/a.c": L + "void a(void)\n{\n    socket(AF_UNIX, SOCK_STREAM, 0);\n}\n"}, "socket without"),
    ("accept", {"agent/cli/a.c": L + "void a(void)\n{\n    accept(fd, NULL, NULL);\n}\n"}, "accept without"),
    ("pipe", {"agent/cli/a.c": L + "void a(void)\n{\n    pipe(ends);\n}\n"}, "pipe without"),
    ("dup", {"agent/cli/a.c": L + "void a(void)\n{\n    dup(fd);\n}\n"}, "dup without"),
    ("F_DUPFD", {"agent/cli/a.c": L + "void a(void)\n{\n    fcntl(fd, F_DUPFD, 3);\n}\n"}, "F_DUPFD"),
    ("fopen", {"agent/cli/a.c": L + 'void a(void)\n{\n    fopen(path, "r");\n}\n'}, "fopen without e"),
    ("fopen e", {"agent/cli/a.c": L + 'void a(void)\n{\n    fopen(path, "re");\n}\n'}, None),
    ("no unit", {"agent/cli/a.h": L + "#pragma once\nstruct a {\n    uint32_t timeout;\n};\n"}, "without its unit"),
    ("no unit behind a word", {"agent/cli/a.h": L + "#pragma once\nstruct a {\n    size_t disk_quota;\n};\n"}, "without its unit"),
    ("a unit", {"agent/cli/a.h": L + "#pragma once\nstruct a {\n    uint32_t timeout_ms;\n};\n"}, None),
    ("no bound of bytes", {"overlay/p.proto": PROTO % "  bytes b = 1;", "overlay/p.options": ""}, "p.M.b has no max_size"),
    ("no bound of a string", {"overlay/p.proto": PROTO % "  string b = 1;", "overlay/p.options": ""}, "max_length"),
    ("no bound of a list", {"overlay/p.proto": PROTO % "  repeated string b = 1;", "overlay/p.options": "p.M.b max_length:3"}, "max_count"),
    ("no bound in a oneof", {"overlay/p.proto": PROTO % "  oneof o {\n    bytes b = 1;\n  }", "overlay/p.options": ""}, "max_size"),
    ("bound of nothing", {"overlay/p.proto": PROTO % "  bool b = 1;", "overlay/p.options": "p.M.c max_size:3"}, "no field"),
    ("bounded", {"overlay/p.proto": PROTO % "  repeated bytes b = 1;", "overlay/p.options": "p.M.b max_count:2 max_size:3"}, None),
    ("undocumented key", {"images/manifest_table.c": TABLE % '"name", YAML_TEXT', "packaging/man/service.yaml.5": PAGE % ""}, "name is missing"),
    ("documented non-key", {"images/manifest_table.c": TABLE % '"name", YAML_TEXT', "packaging/man/service.yaml.5": PAGE % ".It Li name , nome"}, "nome is no key"),
    ("documented key", {"images/manifest_table.c": TABLE % '.path = "a.b", .type = YAML_TEXT', "packaging/man/service.yaml.5": PAGE % ".It Li a.b"}, None),
    ("key of a list", {"images/manifest_table.c": TABLE % '"ports[].name", YAML_TEXT', "packaging/man/service.yaml.5": PAGE % ".It Li ports\nwith\n.Li name ,"}, "ports is no key"),
]


def findings_of(tree):
    with tempfile.TemporaryDirectory() as folder:
        for path, text in tree.items():
            os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                file.write(text)
        subprocess.run(["git", "init", "-q", folder], check=True)
        subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
        found = subprocess.run([sys.executable, RULES], cwd=folder, capture_output=True, text=True)
        return found.stdout.splitlines() + found.stderr.splitlines()


def main():
    bad = 0
    for what, tree, wanted in CASES:
        found = findings_of(tree)
        right = not found if wanted is None else len(found) == 1 and wanted in found[0]
        if not right:
            bad += 1
            print(f"house_rules.py: {what}: wanted {wanted!r}, found {found}")
    sys.exit(1 if bad else 0)


main()
