#!/usr/bin/env bash
# Refuse files over 1 MB: recordings, checkpoints and episodes belong outside the repository.
set -euo pipefail
status=0
for file in "$@"; do
    bytes=$(wc -c < "$file")
    if [ "$bytes" -gt 1000000 ]; then
        echo "$file: $bytes bytes, more than 1 MB: keep it outside the repository" >&2
        status=1
    fi
done
exit $status
