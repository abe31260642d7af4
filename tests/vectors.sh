#!/bin/sh
# How many cases of each file of the public test vectors were tried, by what the unit tests say:  sh tests/vectors.sh LOG
# A file that no test tried is a failure.  Not ours to try: lexicon/, since nothing of ours reads lexicons at run time
# (tests/e2e/test_lexicons.py holds our own to @atproto/lexicon).
dir=${AT_RUND_VECTORS:-$(dirname "$0")/../../shared/vectors}
passed=0 failed=0 skipped=0
if [ ! -d "$dir" ]; then
	echo "skip the test vectors are not here: $dir (or AT_RUND_VECTORS)"
	skipped=1
else
	for file in $(cd "$dir" && find . -type f \( -name '*.txt' -o -name '*.json' -o -name '*.car' \) ! -path './lexicon/*' \
	    ! -name '*_diddoc_*' | sed 's,^\./,,' | sort); do
		name=${file##*/}
		cases=$(grep -a "^  $name: [0-9]* cases\{0,1\}\$" "$1" | sed 's/.*: \([0-9]*\) .*/\1/' | head -n 1)
		if [ -n "$cases" ] && [ "$cases" -gt 0 ]; then
			printf 'ok %-50s %4d\n' "$file" "$cases"
			passed=$((passed + 1))
		else
			echo "FAIL $file: no test tried it"
			failed=$((failed + 1))
		fi
	done
	if grep -aq '^FAIL' "$1"; then
		echo "FAIL the unit tests themselves:"
		grep -a '^FAIL' "$1"
		failed=$((failed + 1))
	fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
