#!/usr/bin/env bash
# One real agent and a controller that orders what it should not, damages it, asks again, falls silent or is gone.
. "$(dirname "$0")/lib.sh"
need python3 pgrep
expect 0 python3 "$ASSAY_SOURCE/tests/e2e/agent.py" "$ASSAY"
cat "$out"
silent FAILED
finish
