#!/bin/sh
# Writes requirements.lock anew: the newest versions that pyproject.toml allows, for run time and development,
# with hashes, for every Python from 3.11 on. uv comes from a throw-away place, since only this needs it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT INT TERM
echo "lock: fetching uv"
"$python" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check uv

# --no-config and no index of the user's: the hashes must be those of the public registry, and of nothing else.
# An earlier lock would keep its versions, so the result is written beside it and moved there at the end.
echo "lock: resolving"
env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
    "$place/venv/bin/uv" pip compile pyproject.toml --group dev --no-config --quiet \
    --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock" --output-file "$place/requirements.lock"

if grep -nE '://|^--|^-e|(^|[[:space:]])(/|file:)' "$place/requirements.lock"; then
    echo "lock: the lines above name an index, a host or a path; requirements.lock is left as it was" >&2
    exit 1
fi
cp "$place/requirements.lock" requirements.lock
echo "lock: requirements.lock has $(grep -c '==' requirements.lock) packages"
