# shellcheck shell=bash
# fakes_lib.sh - agents that are none, for every launcher that starts a program on a node; sourced behind
# lib.sh, never run.
#
# The caller has a command `on_n1 CODE FOLDER`, which runs the check `good` on n1 with the program $remote.

# make_fakes PROGRAM: $work/fake, which does what its kind says before it is that program, or instead of it.
make_fakes() {
	cat >fake <<'END'
#!/bin/sh
case $(cat "$0.kind") in
banner) yes 'Welcome to n1. Have a nice day.' | head -50; exec "$0.real" "$@" ;;
version) cat "$0.hello"; exec cat >/dev/null ;;
rubbish) head -c 3000000 /dev/urandom; yes '{"e":"data","at":"n1","step":"one/good/n1"}' | head -5000; exec "$0.real" "$@" ;;
endless) tr '\0' x </dev/zero ;;
silent) exec sleep 600 ;;
esac
END
	chmod 755 fake
	cp "$1" fake.real
	printf '{"e":"hello"}\n' >fake.hello
	journal_edit fake.hello 'lines = [seal({"e": "hello", "version": "99.9", "commit": "x", "pid": 1, "t": 1.0, "at": "n1", "n": 1})]'
}

# fake KIND CODE: a run with such an agent, in a folder of that name, ends with this code.
fake() {
	echo "$1" >fake.kind
	remote="$work/fake" on_n1 "$2" "$1"
}

# meet_fakes SECONDS: an agent of another version, a noisy login, one that talks rubbish, one that says nothing, for
# which the run takes at most so long.
meet_fakes() {
	fake version 3
	says "its agent is version 99.9"
	fake banner 0
	check "the banner is noted once" test "$(grep -c 'a banner?' banner/journal.jsonl)" = 1
	fake rubbish 0
	check "rubbish fills nothing" test "$(stat -c %s rubbish/journal.jsonl)" -lt 100000
	LIMIT=$1 fake silent 3
	says "no agent answered"
}
