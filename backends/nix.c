#include "backends/nix.h"

#include <string.h>

#include "backends/runtime.h"
#include "lib/buf.h"

void
nix_string(struct buf *out, const char *s, size_t n)
{
	buf_char(out, '"');
	for (size_t i = 0; i < n; i++) {
		if (strchr("\"\\$", s[i]) != NULL)
			buf_char(out, '\\');
		buf_char(out, s[i]);
	}
	buf_char(out, '"');
}

/* "a.b" → [ "a" "b" ] */
static void
attribute_path(struct buf *out, const char *s)
{
	buf_str(out, "[ ");
	for (;;) {
		size_t n = strcspn(s, ".");

		nix_string(out, s, n);
		buf_char(out, ' ');
		if (s[n] == '\0')
			break;
		s += n + 1;
	}
	buf_str(out, "] ");
}

static void
of_names(const struct runtime *r, struct buf *out)
{
	buf_str(out, "find = builtins.foldl' (set: name: set.${name} or (throw \"nixpkgs has no package ${name}\")) pkgs;\n"
	    "in map find [ ");
	for (size_t i = 0; i < r->nix.n; i++)
		attribute_path(out, r->nix.item[i]);
	buf_str(out, "]\n");
}

static void
of_definition(const struct runtime *r, struct buf *out)
{
	buf_str(out, "f = import ");
	nix_string(out, r->file, strlen(r->file));
	buf_str(out, ";\n"
	    "given = { inherit pkgs; lib = pkgs.lib or { }; config = { }; };\n"
	    "wants = builtins.functionArgs f;\n"
	    "r = if ! builtins.isFunction f then f else f (if wants == { } then given else builtins.intersectAttrs wants given);\n"
	    "in r.guest.environment.systemPackages\n");
}

void
nix_packages(const struct runtime *r, const char *nixpkgs, struct buf *out)
{
	size_t n = strlen(r->file);

	buf_str(out, "let pkgs = import ");
	nix_string(out, nixpkgs, strlen(nixpkgs));
	buf_str(out, " { config = { }; overlays = [ ]; };\n");
	if (n > 4 && strcmp(r->file + n - 4, ".nix") == 0)
		of_definition(r, out);
	else
		of_names(r, out);
}
