#!/bin/sh
# next.sh FOLDER: a copy of schema/ of one version more, as if colour.sql had been released.
set -eu
mkdir -p "$1/migrate"
rm -f "$1"/migrate/*
for f in schema/migrate/[0-9]*_*.sql; do
	[ ! -e "$f" ] || cp "$f" "$1/migrate"
done
last=$(find schema/migrate -name '[0-9]*_*.sql' | sed 's/.*\/0*\([0-9]*\)_.*/\1/' | sort -n | tail -n 1)
cp schema/statements*.sql schema/views.sql "$1"
cp tests/migrate/colour.sql "$1/migrate/$(printf '%03d' $((${last:-1} + 1)))_colour.sql"
sed 's/^  note       TEXT$/  note       TEXT,\n  colour     TEXT/' schema/schema.sql >"$1/schema.sql"
cat >>"$1/schema.sql" <<'END'
CREATE TABLE shade (
  name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
END
grep -q '^  colour ' "$1/schema.sql"
