"""The layering check finds each kind of violation and circles of units, and passes a clean tree."""
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = [
    ("src/models/a.cpp", '#include "kernels/kernels.hpp"', 0),
    ("src/engine/a.cpp", '#include "stella/options.hpp"', 0),
    ("src/kernels/a.cpp", '#include "models/encoder.hpp"', 1),
    ("src/engine/a.cpp", '#include "hub/client.hpp"', 1),
    ("src/tokenizer/a.cpp", '#include "stella/model.hpp"', 1),
    ("src/hub/download/a.cpp", '#include "hub/cache/paths.hpp"', 0),
    ("src/hub/a.cpp", '#include "hub/http/url.hpp"', 0),
    ("src/hub/http/a.cpp", '#include "hub/cache/paths.hpp"', 1),
    ("src/hub/cache/a.cpp", '#include "hub/http/url.hpp"', 1),
    ("src/hub/download/a.cpp", '#include "hub/client.hpp"', 1),
    ("src/hub/download/a.cpp", '#include "hub/cache/tar.hpp"', 1),
    ("include/stella/a.hpp", '#include "base/log.hpp"', 1),
    ("cli/a.cpp", '#include "engine/engine.hpp"', 1),
    ("server/http/a.cpp", '#include "server/routes/a.hpp"', 0),
    ("server/a.cpp", '#include "engine/engine.hpp"', 1),
    ("server/a.cpp", '#include "cli/options.hpp"', 1),
    ("cli/a.cpp", '#include "server/server.hpp"', 0),
    ("cli/a.cpp", '#include "server/routes/fingerprint.hpp"', 1),
    ("src/base/a_test.cpp", '#include "support/a.hpp"', 0),
    ("src/base/a.cpp", '#include "support/a.hpp"', 1),
]

# Trees of files with what each includes, and the units that are named where they go round.
CIRCLES = [
    ({"models/a.hpp": [], "models/a.cpp": ["models/a.hpp", "models/b.hpp"], "models/b.hpp": []}, ""),
    ({"models/a.hpp": ["models/b.hpp"], "models/b.hpp": ["models/a.hpp"]}, "models/a -> models/b -> models/a"),
    # No header goes round, but the two units do.
    ({"models/a.hpp": ["models/b.hpp"], "models/b.hpp": [], "models/b.cpp": ["models/b.hpp", "models/a.hpp"]},
     "models/a -> models/b -> models/a"),
    ({"models/a.hpp": ["models/b.hpp"], "models/b.hpp": ["models/c.hpp"], "models/c.cpp": ["models/a.hpp"],
      "models/c.hpp": []}, "models/a -> models/b -> models/c -> models/a"),
    ({"models/a.hpp": [], "models/a_test.cpp": ["models/b.hpp"], "models/b.hpp": ["models/a.hpp"]}, ""),
]

failed = 0


def check(files, expected, named):
    """`files` are texts by path; `expected` the exit status, with which `named` is printed."""
    global failed
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        result = subprocess.run([sys.executable, sys.argv[1], root], capture_output=True, text=True)
        if result.returncode != expected or (expected and named not in result.stdout):
            print(f"{files}: exit {result.returncode}, expected {expected} with '{named}': {result.stdout}")
            failed += 1


for name, line, expected in CASES:
    check({name: line + "\n"}, expected, name)
for tree, circle in CIRCLES:
    texts = {f"src/{name}": "".join(f'#include "{target}"\n' for target in targets) for name, targets in tree.items()}
    check(texts, 1 if circle else 0, circle)
sys.exit(1 if failed else 0)
