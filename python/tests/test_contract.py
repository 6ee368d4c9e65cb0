"""The surface is the contract's (contract.pyi), name by name, and type checkers see it so."""

import ast
import importlib.resources
import json
import pathlib
import re
import shutil
import subprocess
import sys
import typing

import pytest

import stella_cpp
from stella_cpp import errors

HERE = pathlib.Path(__file__).parent
SAMPLES = HERE / "typing_samples"
CONTRACT = ast.parse((HERE / "contract.pyi").read_text())
PACKAGE = pathlib.Path(stella_cpp.__file__).parent


def functions(class_definition):
    """{name: its first definition}."""
    found = {}
    for item in class_definition.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.setdefault(item.name, item)
    return found


def signature(function):
    """Kind, arguments with types and defaults, and what comes back."""
    return (type(function).__name__, ast.unparse(function.args), ast.unparse(function.returns))


def class_of(tree, name):
    return next(item for item in tree.body if isinstance(item, ast.ClassDef) and item.name == name)


WANTED = functions(class_of(CONTRACT, "StellaEmbeddingModel"))
MADE = functions(class_of(ast.parse((PACKAGE / "_model.py").read_text()), "StellaEmbeddingModel"))


@pytest.mark.parametrize("name", sorted(WANTED))
def test_signatures(name):
    assert signature(MADE[name]) == signature(WANTED[name])


def test_nothing_public_beside_the_contract():
    public = {name for name in MADE if not name.startswith("_")}
    assert public == {name for name in WANTED if not name.startswith("_")} | {"max_seq_length"}


def test_error_classes():
    for item in CONTRACT.body:
        if isinstance(item, ast.ClassDef) and item.name.endswith(("Error", "Enabled")):
            bases = tuple(base.id for base in item.bases)
            assert tuple(base.__name__ for base in getattr(errors, item.name).__bases__) == bases, item.name


def test_embeddings_and_types():
    wanted = [item.target.id for item in class_of(CONTRACT, "Embeddings").body]
    assert list(stella_cpp.Embeddings._fields) == wanted
    assert typing.get_args(stella_cpp.Precision) == ("auto", "f32", "bf16", "int16", "int8")
    assert stella_cpp.F32 is not None and stella_cpp.Texts is not None
    with pytest.raises(AttributeError):
        stella_cpp.nothing  # noqa: B018


def test_the_package_is_typed():
    assert (importlib.resources.files("stella_cpp") / "py.typed").is_file()
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    for item in stub.body:
        if isinstance(item, ast.ClassDef) and item.name != "NativeError":
            native = getattr(stella_cpp._core, item.name)
            members = {m.name for m in item.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")}
            assert members == {name for name in vars(native) if not name.startswith("_")}, item.name


OWN = ("errors", "bulk", "ray", "_model", "_options", "_process", "_channel", "_rows", "_workers", "_destination")


def expected_lines():
    lines = (SAMPLES / "mistakes.py").read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# mistake")]


def test_mypy_strict(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={tmp_path}"]
    good = subprocess.run([*command, SAMPLES / "good.py"], capture_output=True, text=True, timeout=300)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    bad = subprocess.run([*command, SAMPLES / "mistakes.py"], capture_output=True, text=True, timeout=300)
    lines = sorted({int(n) for n in re.findall(r"^\S+:(\d+): error", bad.stdout, re.MULTILINE)})
    assert lines == expected_lines(), bad.stdout
    modules = ["stella_cpp", *(f"stella_cpp.{m}" for m in OWN)]
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-ray.*,pyarrow.*]\nignore_missing_imports = True\n")
    own = subprocess.run([*command, f"--config-file={tmp_path}/mypy.ini", *(f"--module={m}" for m in modules)],
                         capture_output=True, text=True, timeout=300)  # fmt: skip
    assert (own.returncode, own.stdout, own.stderr) == (0, "", "")


def test_pyright_strict(tmp_path):
    settings = {
        "typeCheckingMode": "strict", "include": ["samples"],
        "venvPath": str(pathlib.Path(sys.prefix).parent), "venv": pathlib.Path(sys.prefix).name,
    }  # fmt: skip
    shutil.copytree(SAMPLES, tmp_path / "samples")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found = [d for d in json.loads(done.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    in_file = {"good.py": set(), "mistakes.py": set()}
    for diagnostic in found:
        in_file[pathlib.Path(diagnostic["file"]).name].add(diagnostic["range"]["start"]["line"] + 1)
    assert in_file["good.py"] == set(), found
    assert sorted(in_file["mistakes.py"]) == expected_lines(), found
