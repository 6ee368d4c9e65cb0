"""The wheel (STELLA_WHEEL), which is what this environment has: what is in it and what it needs of the system."""

import os
import pathlib
import re
import subprocess
import zipfile

WHEEL = pathlib.Path(os.environ["STELLA_WHEEL"])


def test_size_and_name():
    assert WHEEL.stat().st_size <= 25 << 20
    assert re.fullmatch(r"stella_cpp-[\d.]+-cp310-abi3-manylinux_2_\d+_x86_64\.whl", WHEEL.name)


def test_what_is_in_it():
    names = zipfile.ZipFile(WHEEL).namelist()
    for wanted in ("__init__.py", "py.typed", "_core.pyi", "_core.abi3.so", "share/models/stella-demo/model.safetensors"):
        assert f"stella_cpp/{wanted}" in names
    assert not [name for name in names if name.endswith((".hpp", ".a", ".cpp")) or "goldens" in name]


def test_auditwheel_names_only_the_c_and_cpp_libraries():
    shown = subprocess.run([os.environ["STELLA_AUDITWHEEL"], "-m", "auditwheel", "show", WHEEL], capture_output=True,
                           text=True, check=True).stdout  # fmt: skip
    assert "manylinux_2_" in shown
    system = set(re.findall(r"(\S+\.so\S*) with versions", shown)) | set(re.findall(r'"(\S+\.so[^"]*)"', shown))
    kin = r"(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux-x86-64)\.so\.\d+"
    assert system and all(re.fullmatch(kin, name) for name in system), shown


def test_nothing_else_is_loaded():
    import stella_cpp

    extension = pathlib.Path(stella_cpp._core.__file__)
    loaded = subprocess.run(["ldd", extension], capture_output=True, text=True, check=True).stdout
    for line in loaded.splitlines():
        name = line.split()[0]
        own = "stella_cpp.libs" in line or "vdso" in name
        assert own or re.match(r"\S*(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux-x86-64)\.so", name), line
    assert "not found" not in loaded
