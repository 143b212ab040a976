#!/bin/bash
# epilog.sh - the look of prolog.sh behind a job instead of before it: what a job broke stands in its way.
. "$(dirname "$(readlink -f "$0")")/prolog.sh"
