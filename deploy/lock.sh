#!/bin/sh
# Writes the locks anew: the newest versions that pyproject.toml allows, for run time and development, and of what
# `make bench` compares with; with hashes, for every Python from 3.11 on. uv comes from a throw-away place, since only
# this needs it.
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
resolve() { # resolve FILE ARGUMENT...
    file=$1
    shift
    env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
        "$place/venv/bin/uv" pip compile "$@" --no-config --quiet \
        --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command "make lock" --output-file "$place/$file"
    if grep -nE '://|^--|^-e|(^|[[:space:]])(/|file:)' "$place/$file"; then
        echo "lock: the lines above name an index, a host or a path; the locks are left as they were" >&2
        exit 1
    fi
}
resolve requirements.lock pyproject.toml --all-extras --group dev
# What the image holds: the same versions, without what only development needs.
resolve image.lock pyproject.toml --all-extras --group build --no-annotate --constraint "$place/requirements.lock"
resolve bench.lock tests/bench/requirements.in
cp "$place/requirements.lock" requirements.lock
cp "$place/image.lock" deploy/requirements.lock
cp "$place/bench.lock" tests/bench/requirements.lock
for file in requirements.lock deploy/requirements.lock tests/bench/requirements.lock; do
    echo "lock: $file has $(grep -c '==' "$file") packages"
done
