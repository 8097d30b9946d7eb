#!/bin/bash
# Installs the clients that the engine is tested with: Chromium, nginx, curl, Node, OpenSSL and
# Python of this Debian, and the packages of npm and PyPI at the versions pinned beside this file.
#
# Usage: setup.sh DIRECTORY   (for the Python environment)
# Does nothing that is already done. Fails with a sentence that says what is missing; a test with a
# missing client is never passed over.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=$1

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need chromium chromium
need nginx nginx
need curl curl
need node nodejs
need npm npm
need openssl openssl
need python3 python3
python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "missing: ${missing[*]}. Run this as root on Debian, or install them yourself." >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
fi

if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
  echo "installing npm packages"
  (cd "$here" && npm ci --no-audit --no-fund --loglevel=error)
  cp "$here/package-lock.json" "$here/node_modules/.installed"
fi

if ! cmp -s "$here/requirements.txt" "$directory/.installed"; then
  echo "installing Python packages"
  rm -rf "$directory"
  python3 -m venv "$directory"
  "$directory/bin/pip" install --quiet --no-deps -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$directory/.installed"
fi
