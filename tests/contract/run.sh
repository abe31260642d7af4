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
passed=0 failed=0 skipped=0

# one WALL [USER [WORD...]]
one() {
	wall=$1 as=${2:-}
	shift
	[ $# -eq 0 ] || shift
	echo "== wall $wall${as:+ as $as}${1:+: $*}"
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
	# shellcheck disable=SC2086
	set -- $totals
	passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
}

user=${WALL_USER:-www-data}
id "$user" >/dev/null 2>&1 || user=nobody
for w in ${1:-none sandbox container}; do
	# Behind none the doors of root are no news, and some would hurt.
	if [ "$(id -u)" -ne 0 ]; then
		one "$w"
	elif [ "$w" = none ]; then
		one none "$user"
	elif [ "$w" = sandbox ]; then
		one sandbox
		one sandbox "$user"
	else
		one container
		one container '' --engine docker
		# The doors are the same; what differs is how the engine starts and ends them.
		if grep -q "^$user:" /etc/subuid 2>/dev/null; then
			one container "$user" sample read-shadow connect-loopback bomb-memory bomb-forks daemon kill-9 nothing
		else
			echo "skip container as $user: usermod --add-subuids 231072-296607 --add-subgids 231072-296607 $user"
			skipped=$((skipped + 1))
		fi
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
