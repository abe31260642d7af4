#!/bin/sh
# contrib/demo.sh --once prints right answers from all three runtimes, leaves nothing behind, and knows its options.
cd "$(dirname "$0")/../.." || exit 2
passed=0 failed=0
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
TMPDIR=$out AT_RUND_BUILD=${AT_RUND_BUILD:-$PWD/build}
export TMPDIR AT_RUND_BUILD

claim() {
	what=$1
	shift
	if "$@" >"$out/claim" 2>&1; then
		echo "ok $what"
		passed=$((passed + 1))
	else
		echo "FAIL $what: $(head -c 600 "$out/claim")"
		failed=$((failed + 1))
	fi
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
once() {
	sh contrib/demo.sh --once --port "$port" >"$out/once" 2>"$out/err" || {
		tail -n 40 "$out/err" "$out/once"
		return 1
	}
}
gone() { # what the demo started names its throw-away home
	for p in /proc/[0-9]*; do
		if tr '\0' ' ' 2>/dev/null <"$p/environ" | grep -q "$out/at-rund-demo" && [ "${p#/proc/}" != $$ ]; then
			tr '\0' ' ' <"$p/cmdline"
			return 1
		fi
	done
	! ls -d "$out"/at-rund-demo-* 2>/dev/null
}
claim 'the demo makes its calls and ends well' once
claim 'deno answers' grep -q '"hello":"you","runtime":"deno"' "$out/once"
claim 'node answers' grep -q '"hello":"you","runtime":"node"' "$out/once"
claim 'python answers' grep -q '"hello":"you","runtime":"python"' "$out/once"
claim 'it says what was right' grep -qE '^[0-9]+ right, 0 wrong$' "$out/once"
claim 'no process and no home is left' gone
claim '--help' sh contrib/demo.sh --help
not() { ! "$@"; }
claim 'an unknown option is refused' not sh contrib/demo.sh --nonsense
claim 'a port that is none is refused' not sh contrib/demo.sh --port x

# As a person runs it: until Ctrl-C.
until_signal() {
	sh contrib/demo.sh --port "$port" >"$out/live" 2>"$out/err" &
	pid=$!
	tries=0
	until grep -q 'Ctrl-C ends' "$out/live"; do
		tries=$((tries + 1))
		if [ $tries -gt 600 ] || ! kill -0 $pid 2>/dev/null; then
			cat "$out/err"
			return 1
		fi
		sleep 0.1
	done
	curl -fsS "http://127.0.0.1:$port/bundle/local/hello-python/latest/hello?name=me" | grep -q '"hello":"me"' || return 1
	kill -TERM $pid
	wait $pid
	[ $? -eq 143 ] && gone
}
claim 'it serves until it is stopped, and leaves nothing' until_signal
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
