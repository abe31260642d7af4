#!/bin/sh
# Turns the SQL of this folder into OUT/schema.h and OUT/schema.c:
#
#   statements*.sql          each block "-- name: work_admit" becomes SQL_WORK_ADMIT, and each of its parameters
#                            (":row") a constant WORK_ADMIT_ROW, its number: a misspelt name does not compile
#   schema.sql + views.sql   schema_text, what a fresh database gets
#   migrate/NNN_why.sql      schema_migration[], one step each; version 1 is schema.sql as first released
set -eu
out=${1:?usage: embed.sh OUT [FOLDER]}
cd "${2:-$(dirname "$0")}"
version=$(ls migrate | sed -n 's/^0*\([0-9][0-9]*\)_.*\.sql$/\1/p' | sort -n | tail -n 1)
version=${version:-1}
h=$out/schema.h.new c=$out/schema.c.new
case $out in /*) ;; *) h=$OLDPWD/$h c=$OLDPWD/$c ;; esac

quote='function quote(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\t\"" s "\\n\"" }'

awk -v h="$h" -v c="$c" -v version="$version" "$quote"'
function fail(why) { print FILENAME ":" FNR ": " why > "/dev/stderr"; bad = 1; exit 1 }
function close_block() {
	if (name == "") return
	if (text == "") fail("block " name " has no SQL")
	texts = texts "\t[SQL_" toupper(name) "] =\n" text ",\n"
	lists = lists "\t[SQL_" toupper(name) "] = \"" params "\",\n"
}
BEGIN {
	print "/* Made by schema/embed.sh. */\n#ifndef SCHEMA_H\n#define SCHEMA_H\n" > h
	print "enum sql {" > h
	print "/* Made by schema/embed.sh. */\n#include \"schema.h\"\n" > c
}
/^-- name: / {
	close_block()
	name = $3; text = ""; params = ""; count = 0; delete seen
	if (name !~ /^[a-z][a-z0-9_]*$/) fail("a name is made of a-z, 0-9 and _")
	if (name in names) fail("block " name " is there twice")
	names[name] = 1
	print "\tSQL_" toupper(name) "," > h
	strings = strings "\t[SQL_" toupper(name) "] = \"" name "\",\n"
	next
}
/^--/ || /^[ \t]*$/ { next }
{
	if (name == "") fail("SQL before the first name")
	text = text (text == "" ? "" : "\n") quote($0)
	line = $0
	gsub(/'\''[^'\'']*'\''/, "", line)
	while (match(line, /:[a-z][a-z0-9_]*/)) {
		p = substr(line, RSTART + 1, RLENGTH - 1)
		line = substr(line, RSTART + RLENGTH)
		if (p in seen) continue
		seen[p] = ++count
		params = params (count > 1 ? " " : "") p
		args = args "\t" toupper(name) "_" toupper(p) " = " count ",\n"
	}
}
END {
	if (bad) exit 1
	close_block()
	print "\tSQL_COUNT\n};\n\n/* Numbers of parameters. */\nenum {\n" args "};\n" > h
	print "extern const char *const sql_text[SQL_COUNT], *const sql_name[SQL_COUNT];" > h
	print "extern const char *const sql_params[SQL_COUNT]; /* in order of their numbers, divided by spaces */\n" > h
	print "extern const int schema_version;\nextern const char schema_text[], schema_views[];" > h
	print "/* In order; ends with text NULL. */" > h
	print "struct schema_step {\n\tint version;\n\tconst char *name, *text;\n};" > h
	print "extern const struct schema_step schema_migration[];\n\n#endif" > h
	print "const int schema_version = " version ";\n" > c
	print "const char *const sql_text[SQL_COUNT] = {\n" texts "};\n" > c
	print "const char *const sql_name[SQL_COUNT] = {\n" strings "};\n" > c
	print "const char *const sql_params[SQL_COUNT] = {\n" lists "};\n" > c
}' statements.sql statements_*.sql

{
	echo 'const char schema_text[] ='
	awk "$quote"'{ print quote($0) }' schema.sql
	printf '\t"PRAGMA user_version = %s;\\n";\n' "$version"
	echo
	echo 'const char schema_views[] ='
	awk "$quote"'{ print quote($0) }' views.sql
	echo '	"";'
	echo
	echo 'const struct schema_step schema_migration[] = {'
	for f in migrate/[0-9]*_*.sql; do
		[ -e "$f" ] || continue
		n=$(basename "$f" | sed 's/^0*\([0-9]*\)_.*/\1/')
		printf '\t{ %s, "%s",\n' "$n" "$(basename "$f" .sql)"
		awk "$quote"'{ print quote($0) }' "$f"
		printf '\t"PRAGMA user_version = %s;\\n" },\n' "$n"
	done
	echo '	{ 0, 0, 0 },'
	echo '};'
} >> "$c"

mv "$h" "${h%.new}"
mv "$c" "${c%.new}"
