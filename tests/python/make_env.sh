#!/bin/sh
# make_env.sh ENVIRONMENT REQUIREMENTS: makes a Python virtual environment with exactly these packages, or leaves one
# that already has them as it is.
set -eu
environment=$1
requirements=$2
if [ -x "$environment/bin/python" ] && cmp -s "$requirements" "$environment/requirements.txt"; then
  exit 0
fi
rm -rf "$environment"
python3 -m venv "$environment" || {
  echo "make_env.sh: python3 cannot make a virtual environment; install python3-venv" >&2
  exit 1
}
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements"
# Last: an interrupted installation is not taken for a finished one.
cp "$requirements" "$environment/requirements.txt"
