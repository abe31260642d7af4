#!/bin/sh
# The fuzz targets over their corpora, and a few seconds further.  One case a target.
#
#     sh tests/fuzz/replay.sh                  replay, then SECONDS=3 of new inputs each
#     RUNS=100000 sh tests/fuzz/replay.sh      that many new inputs each instead  (make fuzz RUNS=...)
#
# What crashes is kept in build/fuzz/ and told; put it into the corpus together with the repair.
cd "$(dirname "$0")/../.." || exit 2
F=${F:-build/fuzz}
SECONDS_EACH=${SECONDS_EACH:-3}
passed=0 failed=0 skipped=0
for c in tests/fuzz/fuzz_*.c; do
	name=$(basename "$c" .c)
	corpus=tests/fuzz/corpus/${name#fuzz_}
	[ -d "$corpus" ] || corpus=
	if [ ! -x "$F/$name" ]; then
		echo "skip $name: not built (clang-14 and libclang-rt-14-dev)"
		skipped=$((skipped + 1))
		continue
	fi
	if [ -n "$RUNS" ]; then
		how="-runs=$RUNS"
	else
		how="-max_total_time=$SECONDS_EACH"
	fi
	mkdir -p "$F/new/$name"
	if "$F/$name" -runs=0 ${corpus:+"$corpus"} >"$F/$name.log" 2>&1 &&
	    "$F/$name" "$how" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -artifact_prefix="$F/$name-" "$F/new/$name" ${corpus:+"$corpus"} \
	    >>"$F/$name.log" 2>&1; then
		echo "ok $name ($(find ${corpus:+"$corpus"} -type f 2>/dev/null | wc -l) files, $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$F/$name.log" | tail -n 1) runs)"
		passed=$((passed + 1))
	else
		echo "FAIL $name: $(grep -m1 -E 'ERROR|SUMMARY|runtime error' "$F/$name.log"), see $F/$name.log"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
