#!/bin/sh
# make lint: one line a check, findings indented below it, totals at the end.
# Arguments pick checks whose name contains one of them.  A tool that is not here is a check that was skipped.
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build}
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0

# check NAME COMMAND...: passes when the command prints nothing and ends well
check() {
	name=$1
	shift
	if [ -n "$PICK" ]; then
		hit=
		for p in $PICK; do
			case $name in *"$p"*) hit=1 ;; esac
		done
		[ -n "$hit" ] || return
	fi
	("$@") >"$out/log" 2>&1
	rc=$?
	if [ $rc -eq 77 ]; then
		echo "skip $name: $(cat "$out/log")"
		skipped=$((skipped + 1))
	elif [ $rc -ne 0 ] || [ -s "$out/log" ]; then
		echo "FAIL $name"
		sed 's/^/    /' "$out/log" | head -n 60
		failed=$((failed + 1))
	else
		echo "ok $name"
		passed=$((passed + 1))
	fi
}
PICK=$*

needs() {
	command -v "$1" >/dev/null 2>&1 && return
	echo "$1 is not installed"
	exit 77
}

# Files of ours by patterns of names; without git (an unpacked release) all that is not built.
ours() {
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files -co --exclude-standard "$@"
		return
	fi
	for p in "$@"; do
		find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o -type f \( -path "./$p" -o -name "$p" \) -print
	done | sed 's,^\./,,' | sort -u
}

# Program text without comments and strings, each line led by file:line.
code() {
	awk '
	FNR == 1 { inside = 0 }
	{
		s = $0; o = ""
		while (s != "") {
			if (inside) {
				i = index(s, "*/")
				if (!i) { s = ""; break }
				s = substr(s, i + 2); inside = 0; continue
			}
			if (match(s, /\/\*|\/\/|"|\047/)) {
				o = o substr(s, 1, RSTART - 1); k = substr(s, RSTART, RLENGTH); s = substr(s, RSTART + RLENGTH)
				if (k == "/*") inside = 1
				else if (k == "//") s = ""
				else {
					o = o k
					while (s != "" && substr(s, 1, 1) != k) s = substr(s, substr(s, 1, 1) == "\\" ? 3 : 2)
					o = o k; s = substr(s, 2)
				}
			} else { o = o s; s = "" }
		}
		print FILENAME ":" FNR ": " o
	}' "$@"
}

# keeper PATTERN ALLOWED...: a foreign library stays with its doorkeepers (shell patterns of file names)
keeper() {
	pattern=$1
	shift
	# shellcheck disable=SC2046  # names of ours have no spaces
	code $(ls lib/*.[ch] backends/*.[ch] fcgi/*.[ch] scheduler/*.[ch] cli/*.[ch] 2>/dev/null) |
	    grep -E ": .*$pattern" | while IFS= read -r line; do
		ok=
		for a in "$@"; do
			# shellcheck disable=SC2254  # a pattern is meant
			case ${line%%:*} in $a) ok=1 ;; esac
		done
		[ -n "$ok" ] || echo "$line"
	done
}

# never PATTERN: nowhere in our C
never() {
	# shellcheck disable=SC2046
	if code $(ours '*.c' '*.h') | grep -E ": .*$1"; then
		return 1
	fi
}

in_files() { # in_files PATTERN PATHSPEC...: text that no file of ours may hold
	pattern=$1
	shift
	if ours "$@" | grep -v '^tests/lint/' | xargs -r grep -nIE "$pattern"; then
		return 1
	fi
}

tidy_one() {
	mark=$B/lint/$1.ok
	[ -n "$(find "$mark" -newer "$1" 2>/dev/null)" ] &&
	    [ -z "$(find lib backends fcgi scheduler cli .clang-tidy tests/lint -newer "$mark" \( -name '*.h' -o -name .clang-tidy \))" ] &&
	    return 0
	extra='-include tests/lint/analyzer.h'
	[ "$1" = lib/err.c ] && extra=
	mkdir -p "$(dirname "$mark")"
	# shellcheck disable=SC2086
	if clang-tidy --quiet "$1" -- $extra -std=c11 -D_GNU_SOURCE -I. "-I$B" '-DAT_RUND_VERSION="0"' \
	    '-DAT_RUND_LIBDIR="/lib"' '-DAT_RUND_DATADIR="/share"' >"$out/$(echo "$1" | tr / _)" 2>/dev/null; then
		touch "$mark"
	else
		grep -E '(warning|error): ' "$out/$(echo "$1" | tr / _)" || echo "$1: clang-tidy ended badly"
		return 1
	fi
}

tidy() {
	needs clang-tidy
	# Two side by side, the longest first, so that both end together.
	ls -S lib/*.c backends/*.c fcgi/*.c scheduler/*.c cli/*.c >"$out/files"
	sed -n 'n;p' "$out/files" >"$out/even"
	(rc=0; while read -r f; do tidy_one "$f" || rc=1; done <"$out/even"; exit $rc) &
	other=$! rc=0
	sed -n 'p;n' "$out/files" >"$out/odd"
	while read -r f; do tidy_one "$f" || rc=1; done <"$out/odd"
	wait $other || rc=1
	return $rc
}

cppcheck_all() {
	needs cppcheck
	# shellcheck disable=SC2046
	cppcheck -q --std=c11 --inline-suppr --enable=warning,performance,portability --error-exitcode=1 -D_GNU_SOURCE \
	    -DPB_PROTO_HEADER_VERSION=40 '-DAT_RUND_VERSION="0"' -I. "-I$B" -j2 $(ls -d lib backends fcgi scheduler cli)
}

man_page() {
	needs mandoc
	# The operating system's name is not in the page on purpose; the rest must be clean.
	mandoc -T lint -W warning "$1" | grep -v 'missing section argument\|STYLE'
	return 0
}

keys_in_man() {
	python3 tests/lint/keys.py cli/at-rund.conf.5 lib/conf.c
}

views_in_man() {
	python3 tests/lint/views.py schema/at-rund.db.5 schema/schema.sql schema/views.sql
}

# Units as they would be installed: they read well, and stay as tight as they are.
units_tight() {
	needs systemd-analyze
	"$B/at-rund" systemd install --root "$out/units" || return
	cd "$out/units/etc/systemd/system" || return
	systemd-analyze verify --man=no ./at-rund.target ./at-rund-*.service ./at-rund-*.socket 2>&1 |
	    grep at-rund | grep -v 'not executable\|lib/systemd\|Unknown user'
	systemd-analyze security --offline=yes --threshold=10 ./at-rund-fcgi.service >/dev/null ||
	    echo 'at-rund-fcgi.service: exposure above 1.0'
	systemd-analyze security --offline=yes --threshold=35 ./at-rund-scheduler.service >/dev/null ||
	    echo 'at-rund-scheduler.service: exposure above 3.5'
}

shell_all() {
	needs shellcheck
	ours '*.sh' .ci/run | xargs shellcheck -x -e SC1091,SC2012,SC2317
}

python_all() {
	ours '*.py' | while read -r f; do
		python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$f"
	done
}

script_all() {
	needs node
	ours '*.mjs' '*.cjs' '*.js' | while read -r f; do node --check "$f"; done
}

json_all() {
	ours '*.json' | grep -v '^tests/fuzz/' | while read -r f; do
		python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$f" || echo "$f"
	done
}

rooms_have_readme() {
	for d in fcgi scheduler backends schema lib cli tests contrib; do
		[ -s $d/README.md ] || echo "$d has no README.md"
	done
}

tests_registered() {
	# A file of tests that nobody runs would look as good as one that passes.
	for f in tests/e2e/test_*.py tests/e2e/test_*.sh; do
		[ -e "$f" ] || continue
		grep -q "$(basename "$f")" tests/run.sh || echo "$f is in no list of tests/run.sh"
	done
}

check 'includes point downward (HOUSE 2)' sh tests/lint/includes.sh
check 'FastCGI stays in fcgi/request.c' keeper '\bFCGX_|fcgiapp' 'fcgi/request.c'
check 'SQLite stays in lib/store*' keeper '\bsqlite3' 'lib/store*'
check 'libcurl stays in lib/http.c and lib/post.c' keeper '\b(curl_|CURL)' lib/http.c lib/post.c
check 'nanopb stays in lib/otlp.c' keeper '\bpb_(encode|decode|[io]stream|read|write)' lib/otlp.c
check 'libarchive stays in lib/archive.c and lib/pack.c' keeper '\barchive_(read|write|entry|error|version)' lib/archive.c lib/pack.c
check 'OpenSSL and secp256k1 stay in lib/key.c' keeper '\b(EVP_|OSSL_|ECDSA_|secp256k1_|BN_)' lib/key.c
check 'libsodium stays where hashes and keys are' keeper '\b(crypto_|sodium_|randombytes)' lib/cid.c lib/secret.c lib/keyring.c lib/pass.c lib/strongbox.c lib/age.c
check 'inih stays in lib/conf_read.c' keeper '\bini_(parse|reader|handler)' lib/conf_read.c
check 'children are made by spawn, child and serve only' keeper '\b(v?fork|posix_spawnp?|clone3?|execv[pe]*|execl[pe]*|fexecve) ?\(' \
    scheduler/spawn.c lib/child.c cli/cmd_doctor.c cli/cmd_ensure.c cli/cmd_serve.c cli/cmd_sql.c cli/supervise.c
check 'SQL text stands in schema/' keeper '"(SELECT|INSERT|UPDATE|DELETE) ' 'none'
check 'no call of strcpy, sprintf, system and their like' \
    never '\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|system|popen|alloca|strtok|tmpnam|mktemp) ?\('
check 'numbers are read by functions that can say no' keeper '\b(atoi|atol|atoll|atof|sscanf) ?\(' 'none'
check 'cJSON is parsed through lib/json.h, by exact names' \
    keeper '\bcJSON_(Parse|ParseWithOpts|GetObjectItem|HasObjectItem|DeleteItemFromObject|ReplaceItemInObject) ?\(' 'none'
check 'no words for later' in_files '\b(TODO|FIXME|XXX|HACK)\b' '*.c' '*.h' '*.py' '*.sh' '*.mjs' '*.js' '*.sql' '*.md' Makefile
check 'no path of one machine, no registry host' in_files '/work/(main|shared)|/tmp/npmtest|/root/\.|registry\.npmjs|registry\.[a-z]+\.(org|com)' '*'
check 'systemd units are tight' units_tight
check 'shellcheck' shell_all
check 'Python reads' python_all
check 'JavaScript reads' script_all
check 'JSON reads' json_all
check 'every room has its README' rooms_have_readme
check 'every end-to-end test is run' tests_registered
check 'every config key is in at-rund.conf(5)' keys_in_man
check 'every column of every view is in at-rund.db(5)' views_in_man
for page in $(ours '*.1' '*.5' '*.7' '*.8'); do
	check "mandoc: $page" man_page "$page"
done
check 'cppcheck' cppcheck_all
check 'clang-tidy' tidy
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
