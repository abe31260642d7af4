# core.js of the deno executor: the modules of this directory as one script whose value is what core.mjs exports.
# Deno parses every module by itself before V8 does, which takes a quarter of its start; of a script it knows nothing.
# In: modules, each after those that it imports, each import and export in a line of its own.  ASCII only: a single other
# character makes V8 keep the whole text in two bytes a unit, and costs each start half a millisecond.
BEGIN { print "\"use strict\";\n(() => {" }
FNR == 1 {
	if (NR > 1)
		leave()
	module = FILENAME
	gsub(/.*\/|\.mjs$/, "", module)
	names = ""
	print "const " module " = (() => {"
}
/^import / {
	sub(/^import/, "const")
	sub(/ from "\.\//, " = ")
	sub(/\.mjs";/, ";")
}
/^export / {
	name = $3
	sub(/\(.*/, "", name)
	names = names (names == "" ? "" : ", ") name
	sub(/^export /, "")
}
/[\200-\377]/ {
	print FILENAME ":" FNR ": not ASCII" >"/dev/stderr"
	bad = 1
	exit
}
{ print }
END {
	if (bad)
		exit 1
	leave()
	print "return " module ";\n})()"
}

function leave()
{
	print "return { " names " };\n})();"
}
