"""The layering check finds each kind of violation, and passes a clean tree."""
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
    ("src/base/a_test.cpp", '#include "support/a.hpp"', 0),
    ("src/base/a.cpp", '#include "support/a.hpp"', 1),
]

failed = 0
for name, line, expected in CASES:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, name)
        path.parent.mkdir(parents=True)
        path.write_text(line + "\n")
        result = subprocess.run([sys.executable, sys.argv[1], root], capture_output=True, text=True)
        if result.returncode != expected or (expected and name not in result.stdout):
            print(f"{name} with {line}: exit {result.returncode}, expected {expected}: {result.stdout}")
            failed += 1
sys.exit(1 if failed else 0)
