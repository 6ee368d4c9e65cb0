#!/usr/bin/env python3
"""Checks every #include of the project against the layers' arrows (docs/architecture.md).

    check_layers.py [ROOT]

A layer may include its own headers, the public headers that base implements, and the headers of the layers below it;
its tests also tests/support.
Exits 1 and names each line that breaks the rule.
"""
import re
import sys
from pathlib import Path

# layer -> layers whose headers it may include (the transitive closure is spelt out on purpose: it is the contract).
ARROWS = {
    "base": set(),
    "hub": {"base"},
    "tokenizer": {"base"},
    "weights": {"base"},
    "kernels": {"base"},
    "models": {"base", "weights", "kernels"},
    "engine": {"base", "weights", "kernels", "models", "tokenizer"},
    "api": {"base", "weights", "kernels", "models", "tokenizer", "engine", "hub"},
}
# Public headers that layers below api may use: plain values, no Asio.
PLAIN_PUBLIC = {"stella/error.hpp", "stella/callback.hpp", "stella/request.hpp", "stella/options.hpp", "stella/log.hpp", "stella/hub.hpp",
                "stella/cache.hpp", "stella/packed_weights.hpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def is_test_support(source, target):
    return target.startswith("support/") and source.stem.endswith(("_test", "_test_support"))


def layer_problem(layer, target):
    if target.startswith("stella/"):
        return None if layer == "api" or target in PLAIN_PUBLIC else "a public header above its layer"
    other = target.split("/")[0]
    if other == layer or other in ARROWS[layer]:
        return None
    return f"layer '{layer}' must not include layer '{other}'" if other in ARROWS else "not a header of a layer"


def public_problem(target):
    return None if target.startswith("stella/") else "a public header includes a private one"


def cli_problem(target):
    if target.startswith(("stella/", "cli/", "base/")) or "/" not in target:
        return None
    return "the command line uses the public API and base only"


def main(root):
    problems = []
    for source in sorted([*root.glob("src/**/*.?pp"), *root.glob("include/**/*.?pp"), *root.glob("cli/**/*.?pp")]):
        parts = source.relative_to(root).parts
        for number, target in includes(source):
            if is_test_support(source, target):
                continue
            if parts[0] == "src":
                problem = layer_problem(parts[1], target)
            else:
                problem = public_problem(target) if parts[0] == "include" else cli_problem(target)
            if problem:
                problems.append(f"{source.relative_to(root)}:{number}: \"{target}\": {problem}")
    print("\n".join(problems) if problems else "layers: every include follows the arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
