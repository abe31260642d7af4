#!/bin/sh
# The contract over every wall that works here, or over the one named; as root also as an ordinary user.
#
#     sh tests/contract/run.sh [none|sandbox|container]
#
# Its last line is "N passed, N failed, N skipped".
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build}
AT_RUND_BUILD=$(cd "$B" && pwd)
export AT_RUND_BUILD
[ ! -x /usr/bin/python3 ] || PATH=/usr/bin:$PATH
export PATH
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

# one WALL [USER [WORD...]]
one() {
	wall=$1 as=${2:-}
	shift
	[ $# -eq 0 ] || shift
	echo "== wall $wall${as:+ as $as}${1:+: $*}"
	began=$(date +%s)
	out=$(python3 tests/contract/contract.py --wall "$wall" ${as:+--user "$as"} "$@" 2>&1)
	rc=$?
	printf '%s\n' "$out" | grep -E '^(shut|open|goes|FAIL|skip)'
	totals=$(printf '%s\n' "$out" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' | tail -n 1)
	if [ -z "$totals" ]; then
		printf '%s\n' "$out" | tail -n 20
		totals='0 passed, 1 failed, 0 skipped'
	elif [ $rc -ne 0 ] && [ $rc -ne 77 ] && [ "${totals#*, 0 failed}" != "$totals" ]; then
		echo "FAIL wall $wall ended with status $rc"
		totals='0 passed, 1 failed, 0 skipped'
	fi
	echo "== $totals in $(($(date +%s) - began)) s"
	echo "$totals" >>"$tmp/totals"
}

user=${WALL_USER:-www-data}
id "$user" >/dev/null 2>&1 || user=nobody

walls() {
	for w; do
		# Behind none the doors of root are no news, and some would hurt.
		if [ "$(id -u)" -ne 0 ]; then
			[ "$w" = docker ] || one "$w"
		elif [ "$w" = none ]; then
			one none "$user"
		elif [ "$w" = sandbox ]; then
			one sandbox
			one sandbox "$user"
		elif [ "$w" = docker ]; then
			one container '' --engine docker
		else
			one container
			# gVisor: what it does otherwise than a kernel; all doors with contract.py --wall container --runtime runsc
			if command -v runsc >/dev/null 2>&1; then
				one container '' --runtime runsc sample connect- name- bomb-memory bomb-cpu python-bomb c-bomb lying egress nothing
			else
				echo 'skip runsc is not installed'
				echo '0 passed, 0 failed, 1 skipped' >>"$tmp/totals"
			fi
			if grep -q "^$user:" /etc/subuid 2>/dev/null; then
				one container "$user"
			else
				echo "skip container as $user: usermod --add-subuids 231072-296607 --add-subgids 231072-296607 $user"
				echo '0 passed, 0 failed, 1 skipped' >>"$tmp/totals"
			fi
		fi
	done
}

# The suites wait more than they work: those of Podman's containers run beside the others, and are told afterwards.
if [ $# -eq 0 ]; then
	walls container >"$tmp/beside" 2>&1 &
	walls none sandbox docker
	wait
	cat "$tmp/beside"
elif [ "$1" = container ]; then
	walls container docker
else
	walls "$1"
fi
awk '{ p += $1; f += $3; s += $5 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }' "$tmp/totals"
