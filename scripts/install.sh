#!/usr/bin/env bash
# Makes .venv and installs a hash-locked requirements file and then the project itself.
# Usage: scripts/install.sh requirements.txt|requirements-dev.txt       PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=${1:?name a file: requirements.txt, or requirements-dev.txt to develop}
log=.venv/install.log

say() { printf '%s\n' "$*" >&2; }

# Exit status 0: usable. 3: too old. 4: Debian's python3 without python3-venv. Anything else: it does not run at all.
examine='
import sys
if sys.version_info < (3, 11): sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
'

find_python() {
    local candidate status without_venv=
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python3.14}; do
        status=0
        "$candidate" -c "$examine" >/dev/null 2>&1 || status=$?
        case $status in
            0) printf '%s' "$candidate"; return ;;
            4) without_venv=$candidate ;;
        esac
    done
    if [ -n "$without_venv" ]; then
        say "$without_venv has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv), then run make again."
    elif [ -n "${PYTHON:-}" ]; then
        say "PYTHON=$PYTHON is not a Python 3.11 or newer that runs: choose another, then run make again."
    else
        say "Python 3.11 or newer was not found: install it, or name one with PYTHON=/path/to/python, then run make again."
    fi
    return 1
}

# A virtual environment left half made, or whose interpreter was removed, cannot be mended: it is made anew.
if ! .venv/bin/python -c "$examine"'import pip' >/dev/null 2>&1; then
    python=$(find_python) || exit 1
    "$python" -m venv --clear .venv
fi

say "Installing $requirements into .venv (a minute or so the first time)…"
# Wheels only, each with its hash: nothing is built or run on the way in.
if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 2 \
        --require-hashes --only-binary :all: --requirement "$requirements" >"$log" 2>&1; then
    # pip says "from versions: none" when it could not reach any index at all.
    if grep -qiE 'name resolution|connection|network is unreachable|timed out|from versions: none' "$log"; then
        say "The packages could not be downloaded: check the network, then run make again (details: $log)."
    else
        say "The packages could not be installed: $(grep -m1 -i error "$log" || echo 'pip failed') (details: $log)."
    fi
    exit 1
fi
if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable . >>"$log" 2>&1; then
    say "The project itself could not be installed: $(grep -m1 -i error "$log" || echo 'pip failed') (details: $log)."
    exit 1
fi
