#!/usr/bin/env python3
"""Puts the page together: style sheet and scripts into index.html, that into a C++ source, with the policy that allows just these.

    embed.py OUTPUT.cpp INDEX.html STYLE.css SCRIPT.js...
"""
import base64
import hashlib
import sys
from pathlib import Path


def source_hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def array_of(text):
    numbers = [str(byte if byte < 128 else byte - 256) for byte in text.encode()]
    return ",\n".join(",".join(numbers[i:i + 40]) for i in range(0, len(numbers), 40))


def main(output, index, style, *scripts):
    css = Path(style).read_text(encoding="utf-8")
    # One module, so that the names of one file are those of all and none is the window's.
    script = "\n".join(Path(name).read_text(encoding="utf-8") for name in scripts)
    page = Path(index).read_text(encoding="utf-8")
    for mark, text in (("<!-- page.css -->", css), ("<!-- scripts -->", script)):
        if page.count(mark) != 1 or "</script" in text or "</style" in text:
            sys.exit(f"embed.py: {index} needs {mark} once, and what goes there must not end its element")
        page = page.replace(mark, text)
    policy = (f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(css)}; img-src data:; connect-src 'self'; "
              "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    Path(output).write_text(f"""// Made by server/page/embed.py.
#include "server/page/page.hpp"

namespace stella::server {{
namespace {{
constexpr char kBytes[] = {{
{array_of(page)}}};
}}  // namespace

const std::string_view kPage(kBytes, sizeof kBytes);
const std::string_view kPagePolicy = "{policy}";

}}  // namespace stella::server
""", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
