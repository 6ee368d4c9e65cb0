#!/bin/sh
# make_package.sh SOURCE BUILD ENVIRONMENT SMOKE: builds the package and installs it into an environment with what its own
# tests need, and into one with LangChain; the other frameworks are scripts/test-python-full's.
set -eu
source=$1 build=$2 environment=$3 smoke=$4
sh "$source/tests/python/make_env.sh" "$environment" "$source/tests/package/requirements.txt"
sh "$source/tests/python/make_env.sh" "$smoke" "$source/tests/package/frameworks/langchain/requirements.txt"
prefix=$build/package-prefix
cmake --install "$build" --prefix "$prefix" >"$build/package-install.log"
rm -rf "$build/package-wheel"
"$environment/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
  --config-settings=cmake.source-dir=python --config-settings=build-dir="$build/package" \
  --config-settings=cmake.define.CMAKE_PREFIX_PATH="$prefix" --wheel-dir "$build/package-wheel" "$source"
for python in "$environment/bin/python" "$smoke/bin/python"; do
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall "$build"/package-wheel/*.whl
done
