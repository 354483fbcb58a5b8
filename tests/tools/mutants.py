#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliberate bugs, and whether the simulator's seeds find them.

Each file of tests/sim/mutants says in its first lines what it breaks and where, then the exact
lines that stand there and what stands in their place:

    breaks: an acknowledged record has one copy
    file: overlay/records/record_put.c
    <<<<
    old lines
    ====
    new lines
    >>>>

After `file:` there may be `seeds: OPTIONS`, more options of minga-sim (`--seeds A-B` among them where
another bug like it was once found by one of these), or `scenario: NAME`, a file of
tests/sim/scenarios that sees it where seeds hardly ever would, or `search: OPTIONS` of minga-exhaustive, or `unit: NAME`, a unit test that sees what no world
comes to. The shipped code knows nothing of this: only the changed file is compiled again, in BUILD/mutants,
and linked in front of the libraries.

usage: mutants.py --check                       do all old lines still match, exactly once?
       mutants.py BUILD [--seeds A-B] [--jobs N] [--search=OPTIONS] [NAME...]  run them; a table in Markdown on stdout
"""
import argparse
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "tests" / "sim" / "mutants"
FORM = re.compile(r"breaks: (?P<breaks>.+)\nfile: (?P<file>\S+)\n(?:seeds: (?P<options>[^\n]+)\n)?"
                  r"(?:scenario: (?P<scenario>[^\n]+)\n)?(?:search: (?P<search>[^\n]+)\n)?"
                  r"(?:unit: (?P<unit>\S+)\n)?"
                  r"(?P<hunks>(?:<<<<\n.*?>>>>\n)+)", re.DOTALL)
HUNK = re.compile(r"<<<<\n(.*?)====\n(.*?)>>>>\n", re.DOTALL)


class Mutant:
    def __init__(self, path):
        form = FORM.fullmatch(path.read_text())
        self.name = path.stem
        self.problem = None if form else f"{path.name}: not of the form that mutants.py describes"
        if not form:
            return
        self.breaks, self.file = form["breaks"], form["file"]
        self.options = shlex.split(form["options"] or "")
        self.scenario, self.search, self.unit = form["scenario"], form["search"], form["unit"]
        self.source = (ROOT / self.file).read_text() if (ROOT / self.file).is_file() else ""
        for old, new in HUNK.findall(form["hunks"]):
            count = self.source.count(old)
            if count != 1:
                self.problem = f"{path.name}: its old lines stand {count} times in {self.file}"
                return
            self.source = self.source.replace(old, new)


def all_mutants(names):
    mutants = [Mutant(path) for path in sorted(FOLDER.glob("*.txt"))]
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        sys.exit(f"mutants.py: no such mutant: {' '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def ninja_command(build, target):
    """The last command that makes `target`, as words."""
    lines = subprocess.run(["ninja", "-C", build, "-t", "commands", target], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return shlex.split(lines[-1])


def make(mutant, build, program):
    """Compiles the one file and links a simulator. Returns its path."""
    folder = build / "mutants" / mutant.name
    folder.mkdir(parents=True, exist_ok=True)
    layer = pathlib.PurePath(mutant.file)
    source = folder / layer.name
    source.write_text(mutant.source)
    library = "agent" if layer.parts[0] == "agent" else layer.parts[0]
    target = f"{layer.parts[0]}/CMakeFiles/{library}.dir/{layer.relative_to(layer.parts[0])}.o"
    if program == "minga-exhaustive":
        target = f"tests/sim/CMakeFiles/tiny.dir/__/__/{layer}.o"
    command = ninja_command(build, target)
    command = [word for word in command if word != "-Werror"]
    where = str(ROOT / mutant.file)
    command[command.index(where)] = str(source)
    command[command.index("-o") + 1] = str(folder / "mutant.o")
    for flag in ("-MF", "-MT"):
        command[command.index(flag) + 1] = str(folder / "mutant.d")
    subprocess.run([*command, "-w", f"-I{(ROOT / mutant.file).parent}"], cwd=build, check=True)
    link = ninja_command(build, f"bin/{program}")
    link = link[link.index("&&") + 1:] if "&&" in link else link
    link = link[:link.index("&&")] if "&&" in link else link
    out = link.index("-o")
    link[out + 1] = str(folder / program)
    link.insert(out, str(folder / "mutant.o"))
    subprocess.run(link, cwd=build, check=True)
    return folder / program


def run_scenario(mutant, program):
    """What seeds meet too seldom has a schedule of its own."""
    path = FOLDER.parent / "scenarios" / f"{mutant.scenario}.txt"
    seed = [] if re.search(r"^seed ", path.read_text(), re.MULTILINE) else ["--seed", "1"]
    done = subprocess.run([program, "--schedule", path, *seed], capture_output=True,
                          text=True, errors="replace", check=False)
    failed = re.search(r"^FAILED at \d+ ms: (.*)$", done.stdout, re.MULTILINE)
    if not failed:
        return None, f"scenario {mutant.scenario} does not see it"
    return f"scenario {mutant.scenario}", failed[1]


def run_search(mutant, build, options):
    """All orders of a few messages: minga-exhaustive with these options."""
    program = make(mutant, build, "minga-exhaustive")
    done = subprocess.run([program, *shlex.split(options)], capture_output=True, text=True, check=False)
    failed = re.search(r"^(?!exhaustive)([^:\n]+): ([^\n]+)\n  n\d", done.stdout, re.MULTILINE)
    if failed:
        return f"minga-exhaustive {options}", f"{failed[1]}: {failed[2]}"
    check = re.search(r"check failed: (.*)|(CHECK.*)", done.stderr)
    if check:
        return f"minga-exhaustive {options}", check[0]
    return None, f"minga-exhaustive {options} does not find it"


def run_unit(mutant, build):
    name = f"unit_{mutant.unit.replace('/', '_')}"
    subprocess.run(["cmake", "--build", build, "--target", name], check=True, capture_output=True)
    done = subprocess.run([make(mutant, build, name)], capture_output=True, text=True, check=False)
    failed = re.search(r"\[FAIL\] (?:\S+::)?(\w+)", done.stdout + done.stderr)
    if not failed:
        return None, f"unit test {mutant.unit} does not see it"
    return f"unit test {mutant.unit}", failed[1].replace("_", " ")


def run(mutant, build, options):
    """Returns (seeds needed or None, what was violated)."""
    if options.search or mutant.search:
        return run_search(mutant, build, options.search or mutant.search)
    if mutant.unit:
        return run_unit(mutant, build)
    program = make(mutant, build, "minga-sim")
    begun = time.monotonic()
    if mutant.scenario:
        return run_scenario(mutant, program)
    done = subprocess.run([program, "--seeds", options.seeds, "--jobs", options.jobs, "--until-failed",
                           *mutant.options], capture_output=True, text=True, errors="replace", check=False)
    (program.parent / "output").write_text(done.stdout + done.stderr)
    failed = re.search(r"^seed (\d+) FAILED(?: at \d+ ms)?: (.*)$", done.stdout, re.MULTILINE)
    ran = re.search(r"^sim: (\d+) seeds", done.stdout, re.MULTILINE)
    took = time.monotonic() - begun
    if not failed:
        return None, f"not found in {ran[1] if ran else 0} seeds, {took:.0f} s"
    what = failed[2]
    if "process died" in what:
        check = re.search(r"check failed: (.*)|(CHECK.*)", done.stderr)
        what = check[0] if check else what
    if "--seeds" in mutant.options:
        return f"seed {failed[1]} of {shlex.join(mutant.options)}", what
    return ran[1], what


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seeds", default="1-2000")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--search", help="options of minga-exhaustive, which looks for all of them")
    options = parser.parse_intermixed_args()
    mutants = all_mutants(options.names)
    problems = [mutant.problem for mutant in mutants if mutant.problem]
    if problems or options.check:
        print("\n".join(problems), end="\n" if problems else "")
        return 1 if problems else 0
    build = pathlib.Path(options.build).resolve()
    missed = 0
    print("| mutant | what it breaks | seeds | how it was seen |\n|---|---|---|---|")
    for mutant in mutants:
        if options.search and not mutant.file.startswith("overlay/"):
            continue
        seeds, what = run(mutant, build, options)
        missed += seeds is None
        what = what.replace("|", "\\|")
        print(f"| {mutant.name} | {mutant.breaks} | {seeds or '**none**'} | {what} |", flush=True)
    print(f"\nmutants: {len(mutants) - missed} found, {missed} not found")
    return 1 if missed else 0


sys.exit(main())
