#!/bin/sh
# Sets up and runs all tests on a fresh Debian machine.
#
# 1. gcc, warnings as errors: every test (C and Python).
# 2. clang, warnings as errors, with AddressSanitizer and UndefinedBehaviorSanitizer: every C test, the tests of the
#    program's manners, and libFuzzer for 20 seconds.
# Both are summed up by ctest's own closing lines; the last line of this script counts both together.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

tools/setup.sh build demo test
mkdir -p build

# The Python tests' packages, in an environment of their own, made again where the list changed.
venv=$root/build/venv
if ! cmp -s tests/requirements.txt "$venv/installed.txt"; then
    echo "setup: installing tests/requirements.txt into build/venv"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$venv/installed.txt"
fi

echo "building with gcc in build/test ..."
tools/build.sh build/test -DCMAKE_C_COMPILER=gcc -DLORAC_WERROR=ON -DLORAC_TEST_PYTHON="$venv/bin/python"
echo "building with clang and sanitizers in build/sanitize ..."
tools/build.sh build/sanitize -DCMAKE_C_COMPILER=clang -DLORAC_WERROR=ON -DLORAC_SANITIZE=ON \
    -DLORAC_FUZZ=ON \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLORAC_TEST_PYTHON="$venv/bin/python"

failed=0
ctest --test-dir build/test --output-on-failure 2>&1 | tee build/test.log || true
# What only looks at numbers again, through other engines, is left to the first build, and so is the memory of a process,
# of which the checkers take a part.
ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir build/sanitize --output-on-failure -E '^chain/(resnets|inject_guarantees|parameter_table|determinism|merge_accuracy)|oracle|^tools/memory' 2>&1 | tee build/sanitize.log || true

# ctest writes "97% tests passed, 3 tests failed out of 100".
count() {
    awk -v field="$2" '/tests passed,/ { failed = $4; total = $NF } END { print field == "failed" ? failed : total }' "$1"
}
for log in build/test.log build/sanitize.log; do
    grep -q 'tests passed,' "$log" || { echo "0 passed, 1 failed"; exit 1; }
done
failed=$(($(count build/test.log failed) + $(count build/sanitize.log failed)))
total=$(($(count build/test.log total) + $(count build/sanitize.log total)))
skipped=$(grep -h '\*\*\*Skipped' build/test.log build/sanitize.log | wc -l)
echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
