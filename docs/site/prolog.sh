#!/bin/bash
# prolog.sh - a look at this node that takes seconds, as Slurm's Prolog; epilog.sh does the same behind a job.
#
#   Prolog=/usr/share/doc/assay/site/prolog.sh
#   Epilog=/usr/share/doc/assay/site/epilog.sh
#
# Slurm drains a node whose Prolog or Epilog does not leave with 0, and queues the job again. So only
# a verdict of `rejected` leaves with 1 here: what could not be measured, or a harness that could not
# go on, is a matter for the log and not for the node. No command of Slurm is used, as it asks of such
# scripts. The run folder of a node that was rejected stays; all others are removed.
set -u
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
[ -r /etc/default/assay ] && . /etc/default/assay
assay=${ASSAY:-assay}
runs=${ASSAY_RUNS:-/var/log/assay}
limit=${ASSAY_CHECK_SECONDS:-30}
name=$(basename "$0")
run=$runs/$name-${SLURM_JOB_ID:-0}-${SLURMD_NODENAME:-$(hostname -s)}

say() {
	logger -t assay -- "$name: $*" 2>/dev/null
	echo "$name: $*" >&2
}

[ -n "${ASSAY_SPEC:-}" ] || { say "ASSAY_SPEC is not set: nothing was checked"; exit 0; }
mkdir -p "$runs" && rm -rf "$run" || { say "cannot write to $runs: nothing was checked"; exit 0; }
timeout --kill-after=5 "$limit" "$assay" run --spec "$ASSAY_SPEC" \
	--profile "${ASSAY_CHECK_PROFILE:-$here/prolog.yaml}" \
	--hosts "${SLURMD_NODENAME:-$(hostname -s)}" --quiet -o "$run" >"$run.log" 2>&1
code=$?
case $code in
0) ;;
1)
	say "rejected, see $run: $(grep -m 1 -A 2 '^What failed' "$run/report.txt" | tail -n 1)"
	exit 1
	;;
3) say "not all of it was measured: $(grep -m 1 -A 2 '^What was not' "$run/report.txt" | tail -n 1)" ;;
124 | 137) say "not done within $limit s: nothing is known of the node" ;;
*) say "assay left with $code: $(tail -n 1 "$run.log")" ;;
esac
rm -rf "$run" "$run.log"
exit 0
