#!/bin/sh
# One command to all tests: installs what they need, builds, runs `make check`.  The last line is the totals.
# Runs as root or as a user with sudo (only to install Debian packages that are missing; it says which).
set -eu

case ${1:-} in
'') ;;
--help | -h)
	echo "sh contrib/check.sh          install what the tests need, then make check"
	echo "sh contrib/check.sh --setup  only install, and what make bench needs with it"
	exit 0
	;;
--setup) ;;
*)
	echo "usage: sh contrib/check.sh [--setup]" >&2
	exit 64
	;;
esac
cd "$(dirname "$0")/.."
. contrib/setup.sh
if [ "${1:-}" = --setup ]; then
	setup_need build run test lint bench
	exit 0
fi
setup_need build run test lint
# make speaks last when something failed; the totals are to be the last line.
rc=0
make -s check </dev/null || rc=$?
[ $rc -eq 0 ] || cat "${B:-build}/check/totals" 2>/dev/null || echo '0 passed, 1 failed, 0 skipped'
exit $rc
