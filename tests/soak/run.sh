#!/bin/sh
# The long proofs: every fuzzer for a while, then thousands of kernels, kills and slow readers. Called by
# `./dev soak` with the set-up and the release build done. Arguments go to run.py; a fuzzer's time is
# WARMCELL_FUZZ_SECONDS (600). `run.sh fuzz`, `run.sh api` or `run.sh cycles|sandboxes|kills|sandbox-kills|readers|followers|sequence`
# runs one of them.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
seconds=${WARMCELL_FUZZ_SECONDS:-600}

fuzz() {
    build=$root/build/fuzz
    if [ ! -f "$build/build.ninja" ]; then
        CC=clang meson setup -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
            "$build" "$root"
    fi
    ninja -C "$build"
    targets=$(meson test -C "$build" --list --suite fuzz 2>/dev/null | grep -c fuzz_) || {
        echo "soak: build/fuzz has no fuzz targets" >&2
        exit 1
    }
    echo "soak: $targets fuzzers, $seconds s each"
    WARMCELL_FUZZ_SECONDS=$seconds meson test -C "$build" --suite fuzz --no-rebuild \
        --print-errorlogs
}

# Requests that are made up from the description of the API, others each time.
api() {
    WARMCELL_BUILD=$root/build/release WARMCELL_API_EXAMPLES=${WARMCELL_API_EXAMPLES:-200} \
        WARMCELL_API_SEED=${WARMCELL_API_SEED:-$(date +%s)} \
        "$python" -m pytest --timeout 7200 "$root/tests/gateway/test_openapi_fuzz.py"
}

case ${1:-all} in
fuzz) fuzz ;;
api) api ;;
all)
    fuzz
    api
    exec "$python" "$root/tests/soak/run.py"
    ;;
*) exec "$python" "$root/tests/soak/run.py" "$@" ;;
esac
