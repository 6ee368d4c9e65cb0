"""The commands that the documents show: those of README.md with the bundled model run as they stand, all others name commands and
options that the program has.

    documents_test.py SOURCE PROGRAM
"""
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.argv[1:] = []
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/cli.md", "docs/hub.md", "docs/performance.md", "docs/scale.md", "docs/server.md", "models/stella-demo/README.md",
             "scripts/demo"]


def commands(text):
    """`stella …` of code blocks and of inline code, to the end of the line's command."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`((?:build/release/)?stella [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        for found in re.finditer(r"(?:^|[\s|(])(?:build/release/)?stella ((?!\.)[a-z]+\b[^#|)…\"]*)", line):
            yield found.group(1)


def help_of(*path):
    done = subprocess.run([PROGRAM, *path, "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


def check_options(document):
    problems = []
    for command in commands((SOURCE / document).read_text(encoding="utf-8")):
        words = command.replace("[", " ").replace("]", " ").split()
        path = words[:2] if words[0] == "cache" and len(words) > 1 and words[1].isalpha() and words[1].islower() else words[:1]
        text = help_of(*path[:1] if path[0] == "help" else path)
        if text is None:
            problems.append(f"{document}: there is no command '{' '.join(path)}'")
            continue
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", command):
            if not re.search(rf"(?<![\w-]){option}(?![\w-])", text):
                problems.append(f"{document}: `stella {' '.join(path)}` has no option {option}")
    return problems


def run_readme(folder):
    """Every command line of README.md's shell blocks that needs no network, one after another in one folder."""
    (folder / "build/release").mkdir(parents=True)
    (folder / "build/release/stella").symlink_to(PROGRAM)
    for name in ("examples", "models"):
        (folder / name).symlink_to(SOURCE / name)
    problems, ran = [], 0
    for block in re.findall(r"^```sh\n(.*?)^```", (SOURCE / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if "build/release/stella" not in line or " serve " in line:  # which tests/server runs: it does not end
                continue
            environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment, capture_output=True, timeout=120)
            ran += 1
            if done.returncode != 0 or not (done.stdout or "--output" in line):
                problems.append(f"README.md: `{line}` ended with {done.returncode}: {done.stderr.decode()[:500]}")
    return problems if ran else ["README.md shows no commands"]


def check_variables():
    """docs/hub.md has every variable that the hub's options are read from."""
    source = (SOURCE / "src/hub/environment.cpp").read_text(encoding="utf-8")
    page = (SOURCE / "docs/hub.md").read_text(encoding="utf-8")
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source)) - {"HOME"}
    return [f"docs/hub.md does not explain {name}" for name in sorted(read) if f"`{name}`" not in page]


def main():
    problems = [problem for document in DOCUMENTS for problem in check_options(document)]
    problems += check_variables()
    with tempfile.TemporaryDirectory(prefix="stella-readme-") as folder:
        problems += run_readme(pathlib.Path(folder))
    targets = set(re.findall(r"^([a-z-]+):", (SOURCE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        for target in re.findall(r"`make ([a-z-]+)", (SOURCE / document).read_text(encoding="utf-8")):
            if target not in targets:
                problems.append(f"{document}: the Makefile has no target '{target}'")
    described = set(re.findall(r"^([a-z-]+):.*## ", (SOURCE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    problems += [f"`make help` does not list '{target}'" for target in sorted(targets - described)]
    print("\n".join(problems) or "the documents show what the program has")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
