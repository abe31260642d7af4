#!/bin/sh
# HOUSE 2: who may include whom.  Prints every include that points the wrong way; silence is good.
#
#   lib        lib
#   backends   lib but no store*, backends
#   scheduler  lib but no store_front and store_desk, backends/backend.h and what it hands out, scheduler
#   fcgi       lib but no store_work, fcgi; store_desk for pages: they are a desk too
#   cli        lib but no store_work and store_front, backends, cli
cd "$(dirname "$0")/../.." || exit 2
for f in lib/*.[ch] backends/*.[ch] fcgi/*.[ch] scheduler/*.[ch] cli/*.[ch]; do
	[ -f "$f" ] || continue
	sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$f" | while read -r inc; do
		ok=no
		case ${f%%/*}:$inc in
		*:../* | *:./*) ;;
		lib:lib/*) ok=yes ;;
		lib:schema.h) case $f in lib/store*) ok=yes ;; esac ;;
		backends:lib/store*) ;;
		backends:lib/* | backends:backends/*) ok=yes ;;
		scheduler:lib/store_front.h | scheduler:lib/store_desk.h) ;;
		scheduler:lib/* | scheduler:scheduler/* | scheduler:backends/backend.h | scheduler:backends/runtime.h | scheduler:backends/walls.h) ok=yes ;;
		fcgi:lib/store_desk.h) case $f in fcgi/page*) ok=yes ;; esac ;;
		fcgi:lib/store_work.h | fcgi:lib/http.h | fcgi:lib/child.h | fcgi:lib/pds.h) ;;
		fcgi:lib/* | fcgi:fcgi/*) ok=yes ;;
		cli:lib/store_work.h | cli:lib/store_front.h) ;;
		cli:lib/* | cli:cli/* | cli:backends/backend.h | cli:backends/runtime.h | cli:backends/engine.h | cli:backends/walls.h | cli:backends/image.h | cli:backends/nix.h) ok=yes ;;
		esac
		[ $ok = yes ] || echo "$f includes \"$inc\""
	done
done
