#!/bin/sh
# Write packaging/requirements.lock anew: the newest releases that pyproject.toml's dependencies allow, with their hashes.
set -eu

cd "$(dirname "$0")/.."
python3 -m venv build/lock
build/lock/bin/pip install --quiet --disable-pip-version-check uv
{
    echo "# Made by packaging/lock.sh. What the Debian package brings of PyPI; nothing else is installed."
    build/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url
} >packaging/requirements.lock.new
mv packaging/requirements.lock.new packaging/requirements.lock
