#!/bin/sh
# One command to a runner that answers: installs what is missing, builds, and serves the sample bundles of
# contrib/examples from a throw-away home until Ctrl-C.
set -eu

usage() {
	cat <<'END'
sh contrib/demo.sh                  serve on http://127.0.0.1:3000 until Ctrl-C
sh contrib/demo.sh --port 8080      on another port
sh contrib/demo.sh --once           make the calls itself, check the answers, end

  --port N     port to serve on (3000)
  --once       call every sample once, print the answers, exit 0 when all were right
  --help       this text

Runs as root or as a user with sudo (only to install Debian packages that are missing; it says which).
END
}

port=3000 once=
while [ $# -gt 0 ]; do
	case $1 in
	--port)
		port=${2:-}
		shift
		;;
	--port=*) port=${1#--port=} ;;
	--once) once=1 ;;
	--help | -h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 64
		;;
	esac
	shift
done
case $port in
'' | *[!0-9]*)
	usage >&2
	exit 64
	;;
esac

cd "$(dirname "$0")/.."
. contrib/setup.sh
setup_need build run
B=${AT_RUND_BUILD:-build}
if [ -z "${AT_RUND_BUILD:-}" ]; then
	echo "demo: building" >&2
	make -s -j"$(nproc)" all
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/at-rund-demo-XXXXXX")
serve=
finish() {
	trap - EXIT INT TERM
	if [ -n "$serve" ] && kill -TERM "$serve" 2>/dev/null; then
		wait "$serve" 2>/dev/null || :
	fi
	rm -rf "$home"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

AT_RUND_HOME=$home/home
export AT_RUND_HOME
"$B/at-rund" init >"$home/init.log" 2>&1 || {
	cat "$home/init.log" >&2
	exit 1
}
"$B/at-rund" serve --dev --port "$port" --bundles "$PWD/contrib/examples" >"$home/serve.log" 2>&1 &
serve=$!

url=http://127.0.0.1:$port
tries=0
until curl -fsS -o "$home/ready" "$url/ready" 2>/dev/null; do
	tries=$((tries + 1))
	if ! kill -0 "$serve" 2>/dev/null || [ $tries -gt 300 ]; then
		echo "demo: at-rund serve did not become ready on port $port:" >&2
		tail -n 30 "$home/serve.log" >&2
		exit 1
	fi
	sleep 0.1
done

at=$url/bundle/local
tab=$(printf '\t')
# The calls: options of curl, a tab, what the answer must hold (an extended regular expression)
calls() {
	cat <<END
"$at/hello-deno/latest/hello?name=you"	"hello":"you","runtime":"deno"
"$at/hello-deno/latest/page"	<h1>Hello from deno</h1>
-N "$at/hello-deno/latest/stream"	line 1.*line 5
"$at/hello-node/latest/hello?name=you"	"hello":"you","runtime":"node"
-d 'name=value' "$at/hello-node/latest/echo"	^name=value$
"$at/hello-python/latest/hello?name=you"	"hello":"you","runtime":"python"
-N "$at/hello-python/latest/stream"	line 1.*line 5
"$at/hello-python/latest/boom"	this endpoint always fails
-H 'Prefer: respond-async' -d '' "$at/hello-node/latest/hello"	"state":"(queued|admitted|running|done)"
"$url/xrpc/dev.at-run.describeRunner"	"runtimes":
END
}

if [ -z "$once" ]; then
	printf '\nat-rund serves contrib/examples on %s; try:\n\n' "$url"
	calls | while IFS="$tab" read -r options _; do
		printf '    curl %s\n' "$options"
	done
	printf '\nWhat ran:   AT_RUND_HOME=%s %s/at-rund job list\n' "$AT_RUND_HOME" "$B"
	printf 'As a table: sqlite3 -readonly -box %s/at-rund.db "select * from v_jobs"\n' "$AT_RUND_HOME"
	printf 'Change a file below contrib/examples and call again: the next call runs the new code.\nCtrl-C ends.\n\n'
	wait "$serve" || :
	tail -n 5 "$home/serve.log" >&2
	exit 0
fi

calls >"$home/calls"
good=0 bad=0
while IFS="$tab" read -r options want; do
	printf '$ curl %s\n' "$options"
	if eval "curl -sS --max-time 30 $options" >"$home/answer" 2>"$home/error"; then
		cat "$home/answer"
		echo
	else
		cat "$home/error"
	fi
	if tr '\n' ' ' <"$home/answer" | sed 's/ *$//' | grep -Eq "$want"; then
		good=$((good + 1))
	else
		echo "demo: that is not what was expected: $want"
		bad=$((bad + 1))
	fi
done <"$home/calls"
echo "$good right, $bad wrong"
if [ $bad -ne 0 ]; then
	tail -n 30 "$home/serve.log" >&2
	exit 1
fi
