#!/usr/bin/env bash
# Runs the tests: run_tests.sh PYTHON [PYTEST_FLAGS]. With files or folders among the flags those alone, as pytest does.
#
# Half of the tests compute and nothing else: those of worlds, policies, bundles and configurations. They run beside the
# others, behind them in priority, for among the others there are robots and devices that run by the clock.
set -uo pipefail
python=$1
shift

for flag in "$@"; do
    if [ -e "${flag%%::*}" ]; then
        exec "$python" -m pytest "$@"
    fi
done

computing=(tests/configs tests/envs tests/policies tests/export)
log=$(mktemp)
nice -n 10 "$python" -m pytest "${computing[@]}" "$@" > "$log" 2>&1 &
beside=$!
trap 'kill "$beside" 2> /dev/null; rm -f "$log"' EXIT

"$python" -m pytest tests "${computing[@]/#/--ignore=}" "$@"
first=$?
echo "and beside them ${computing[*]}:"
wait "$beside"
second=$?
cat "$log"

# 5 says that no test was chosen, which is wrong only of both.
for code in "$first" "$second"; do
    if [ "$code" -ne 0 ] && { [ "$code" -ne 5 ] || [ "$first" -eq "$second" ]; }; then
        exit "$code"
    fi
done
