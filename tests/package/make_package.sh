#!/bin/sh
# make_package.sh SOURCE BUILD ENVIRONMENT: installs the package into an environment with what its tests need.
set -eu
source=$1 build=$2 environment=$3
sh "$source/tests/python/make_env.sh" "$environment" "$source/tests/package/requirements.txt"
prefix=$build/package-prefix
cmake --install "$build" --prefix "$prefix" >"$build/package-install.log"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
  --config-settings=cmake.source-dir=python --config-settings=build-dir="$build/package" \
  --config-settings=cmake.define.CMAKE_PREFIX_PATH="$prefix" "$source"
