#!/usr/bin/env python3
"""Checks every #include of the project against the layers' arrows (docs/architecture.md).

    check_layers.py [ROOT]

A layer may include its own headers, the public headers that base implements, and the headers of the layers below it;
of a layer that is a room, others only its public headers. Tests may also include tests/support. No two units of src (a
source with its header) include each other in a circle, tests left out.
Exits 1 and names each line that breaks a rule.
"""
import re
import sys
from pathlib import Path

# layer -> layers whose headers it may include (the transitive closure is spelt out on purpose: it is the contract).
HUB = {"hub/http", "hub/cache", "hub/download"}
ARROWS = {
    "base": set(),
    "format": {"base"},
    "hub/http": {"base"},
    "hub/cache": {"base"},
    "hub/download": {"base", "hub/http", "hub/cache"},
    "hub": {"base", *HUB},
    "tokenizer": {"base"},
    "weights": {"base"},
    "kernels": {"base"},
    "models": {"base", "weights", "kernels"},
    "engine": {"base", "weights", "kernels", "models", "tokenizer"},
    "api": {"base", "weights", "kernels", "models", "tokenizer", "engine", "hub", *HUB},
}
# A room: a layer inside another's folder. All that others may know of it are these headers.
ROOMS = {
    "hub/http": {"answer", "event_loop", "fetch", "proxy", "query", "retry", "url"},
    "hub/cache": {"file_lock", "hasher", "links", "paths", "store", "verify"},
    "hub/download": {"metadata", "request", "resources", "shared_download", "tuning"},
}
# Public headers that layers below api may use: plain values, no Asio.
PLAIN_PUBLIC = {"stella/error.hpp", "stella/callback.hpp", "stella/request.hpp", "stella/result.hpp", "stella/options.hpp", "stella/log.hpp", "stella/hub.hpp",
                "stella/cache.hpp", "stella/packed_weights.hpp", "stella/pass_counters.hpp", "stella/pool_status.hpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def is_test_support(source, target):
    return target.startswith("support/") and source.stem.endswith(("_test", "_test_support", "test_support"))


def layer_of(path):
    """The layer of "hub/http/url.hpp", a path below src."""
    room = "/".join(path.split("/")[:2])
    return room if room in ROOMS else path.split("/")[0]


def layer_problem(layer, target):
    if target == "stella.h" or target.startswith("stella/"):
        return None if layer == "api" or target in PLAIN_PUBLIC else "a public header above its layer"
    other = layer_of(target)
    if other == layer:
        return None
    if other not in ARROWS[layer]:
        return f"layer '{layer}' must not include layer '{other}'" if other in ARROWS else "not a header of a layer"
    if other in ROOMS and Path(target).stem not in ROOMS[other]:
        return f"not one of the headers that '{other}' has for others"
    return None


def public_problem(target):
    return None if target == "stella.h" or target.startswith("stella/") else "a public header includes a private one"


# Programs on top of the library: what they may include beside the public API.
PROGRAMS = {
    # `stella verify` reads goldens, and one reader of the format is enough; of the server what `stella serve` starts it with
    "cli": ("cli/", "base/", "format/", "weights/safetensors.hpp",
            *(f"server/{name}.hpp" for name in ("keys", "limits", "observe/logs", "options", "server", "workers"))),
    "server": ("server/", "base/", "format/"),
}


def program_problem(program, target):
    if target.startswith(("stella/", *PROGRAMS[program])) or "/" not in target:
        return None
    return f"'{program}' uses the public API and {', '.join(PROGRAMS[program])} only"


def units(root):
    """{unit: {unit that it includes: "file:line"}}; "hub/http/url" is url.hpp and url.cpp together."""
    found = {}
    for source in sorted(root.glob("src/**/*.?pp")):
        if source.stem.endswith(("_test", "test_support")):
            continue
        path = source.relative_to(root / "src")
        unit = path.with_suffix("").as_posix()
        edges = found.setdefault(unit, {})
        for number, target in includes(source):
            other = target.rsplit(".", 1)[0]
            if other != unit:
                edges.setdefault(other, f"src/{path}:{number}")
    return found


def circle_problems(graph):
    """One line for each circle that a walk over all units closes."""
    problems = []
    done, way = set(), []

    def walk(unit):
        way.append(unit)
        for other, place in graph[unit].items():
            if other in way:
                circle = way[way.index(other):] + [other]
                problems.append(f"{place}: closes a circle of units: {' -> '.join(circle)}")
            elif other in graph and other not in done:
                walk(other)
        done.add(way.pop())

    for unit in graph:
        if unit not in done:
            walk(unit)
    return problems


def main(root):
    problems = []
    for source in sorted([*root.glob("src/**/*.?pp"), *root.glob("include/**/*.?pp"), *root.glob("include/*.h"), *root.glob("cli/**/*.?pp"), *root.glob("server/**/*.?pp")]):
        path = source.relative_to(root)
        for number, target in includes(source):
            if is_test_support(source, target):
                continue
            if path.parts[0] == "src":
                problem = layer_problem(layer_of(path.relative_to("src").as_posix()), target)
            else:
                problem = public_problem(target) if path.parts[0] == "include" else program_problem(path.parts[0], target)
            if problem:
                problems.append(f"{path}:{number}: \"{target}\": {problem}")
    problems += circle_problems(units(root))
    print("\n".join(problems) if problems else "layers: every include follows the arrows, and none goes round")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
