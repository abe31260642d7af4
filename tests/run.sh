#!/bin/sh
# All tests, or those named:  sh tests/run.sh [unit] [san] [fuzz] [executors] [contract] [e2e] [lint] [soak] [test_NAME.py ...]
#
# A suite is a program whose last line is "N passed, N failed, N skipped".  One that does not say so, or that ends badly
# with no failure told, counts as a failed case of its own.  The whole output of each lies in build/check/.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}
export B
MAKE=${MAKE:-make}
jobs=$(nproc 2>/dev/null || echo 2)
log=$B/check
mkdir -p "$log"
rm -f "$log/totals"
passed=0 failed=0 skipped=0

E2E='test_lexicons.py test_opinion.py test_cli.py test_callers.py test_access.py test_quotas.py test_usage.py test_fcgi_wire.py test_fetcher.py test_secrets.py test_runner.py test_dev.py test_bad_input.py test_main_job.py
test_kill.py test_endure.py test_soak.py test_streams.py test_uploads.py test_jobs.py test_callbacks.py test_page.py test_cron.py test_gate.py test_demo.sh test_readme.py
test_walls.py test_nix.py test_systemd.py test_unit.py test_otel.py
test_package.py test_operator.py
test_shared.py'
SOAK='test_kill.py test_endure.py test_soak.py'
[ $# -gt 0 ] || set -- unit san fuzz executors contract e2e lint

# suite NAME LIMIT_SECONDS COMMAND...
suite() {
	name=$1 limit=$2
	shift 2
	began=$(date +%s)
	timeout -k 20 "$limit" "$@" >"$log/$name.log" 2>&1 </dev/null
	rc=$?
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log/$name.log" | tail -n 1)
	why=
	if [ -z "$line" ]; then
		line='0 passed, 1 failed, 0 skipped'
		why="ended with status $rc without totals"
	fi
	# shellcheck disable=SC2086
	set -- $line
	p=$1 f=$3 s=$5
	if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
		why="all its cases passed, but it ended with status $rc"
	fi
	[ $rc -eq 124 ] && why="$why (its time limit is $limit s)"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	echo "== $name: $p passed, $f failed, $s skipped ($(($(date +%s) - began)) s)"
	grep -aE '^(FAIL|not ok)' "$log/$name.log" | cut -c1-600
	grep -aE '^skip(ped)? ' "$log/$name.log" | cut -c1-300 | head -n 5
	[ "$s" -le 5 ] || echo "skip ... and $((s - 5)) more: $log/$name.log"
	[ "$f" -eq 0 ] || {
		[ -z "$why" ] || echo "   $name $why; its end:"
		[ -z "$why" ] || tail -n 25 "$log/$name.log" | sed 's/^/   | /'
		echo "   whole output: $log/$name.log"
	}
}

# built NAME TARGETS...: what a suite needs; when it does not build, that is the suite's failure
built() {
	what=$1
	shift
	$MAKE -s -j"$jobs" "$@" >"$log/build-$what.log" 2>&1 && return
	echo "== $what: does not build"
	tail -n 25 "$log/build-$what.log" | sed 's/^/   | /'
	failed=$((failed + 1))
	return 1
}

e2e_one() {
	case $1 in
	*.py) suite "${1%.py}" 600 python3 "tests/e2e/$1" ;;
	*.sh) suite "${1%.sh}" 300 sh "tests/e2e/$1" ;;
	esac
}

# The system's python, not one of a version manager: what a runner's operator has.
[ ! -x /usr/bin/python3 ] || PATH=/usr/bin:$PATH
PYTHONDONTWRITEBYTECODE=1
export PATH PYTHONDONTWRITEBYTECODE

for name in "$@"; do
	case $name in
	unit)
		built unit "$B/tests/unit-tests" && suite unit 120 "$B/tests/unit-tests"
		suite vectors 60 sh tests/vectors.sh "$log/unit.log"
		;;
	san) built san SAN=1 build/san/tests/unit-tests && suite san 400 build/san/tests/unit-tests ;;
	fuzz) built fuzz fuzz-programs && suite fuzz 300 sh tests/fuzz/replay.sh ;;
	executors) built executors all && suite executors 300 python3 tests/executors/run.py ;;
	contract) built contract all && suite contract 900 sh tests/contract/run.sh ;;
	lint) built lint all && suite lint 500 sh tests/lint/run.sh ;;
	e2e)
		built e2e all e2e-programs && for t in $E2E; do
			e2e_one "$t"
		done
		;;
	soak)
		built soak all e2e-programs && for t in $SOAK; do
			suite "${t%.py}" 5400 python3 "tests/e2e/$t"
			grep -aE '^[a-z].*: ' "$log/${t%.py}.log" | grep -avE '^(ok|FAIL|skip) ' | cut -c1-300
		done
		;;
	test_*) built "$name" all e2e-programs && e2e_one "$name" ;;
	*)
		echo "tests/run.sh: no suite is called $name" >&2
		exit 64
		;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped" | tee "$log/totals"
[ $failed -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
