#!/bin/sh
# next.sh FOLDER: a copy of schema/ of one version more, as if 002_colour.sql had been released.
set -eu
mkdir -p "$1/migrate"
cp schema/statements.sql schema/views.sql "$1"
cp tests/migrate/002_colour.sql "$1/migrate"
sed 's/^  note       TEXT$/  note       TEXT,\n  colour     TEXT/' schema/schema.sql >"$1/schema.sql"
cat >>"$1/schema.sql" <<'END'
CREATE TABLE shade (
  name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
END
grep -q '^  colour ' "$1/schema.sql"
