/*
 * Runtime definitions.  NAME.ini is read by the config's reader.  NAME.nix, the seed's form, is a program in a lazy
 * language that a stranger may have written, so nix-instantiate evaluates it with no store, no network, no files but its
 * own directory, and bounds on time and memory.
 *
 * Such a definition names packages of nixpkgs, which is not there.  `pkgs` is therefore made up: Nix has no attribute set
 * that answers to every name, but a file can only ask for names that it spells out, so every word of the file becomes
 * an attribute, of pkgs and again of each package (python312Packages.pytorch).  Used as a function a package is itself
 * (python3.withPackages …); in a string it is /nix-package/NAME.
 */
#include "backends/runtime.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/nix.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"

#ifndef AT_RUND_DATADIR
#define AT_RUND_DATADIR "/usr/local/share/at-rund"
#endif

enum {
	DEFINITION_MAX = 64 << 10,
	NIX_WORDS_MAX = 2000,
	NIX_TIMEOUT_MS = 5000,
	VERSION_TIMEOUT_MS = 2000,
	TEXT_MAX = 4096,
	CONCURRENCY_MAX = 1024,
};
#define NIX_MEMORY ((size_t)1 << 30)
#define NIX_PREFIX "/nix-package/"

/* ---- small things ---- */

static void
list_add(struct conf_list *l, const char *s)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof *l->item);
	l->item[l->n++] = mem_str(s);
}

static void
list_clear(struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
}

static void
pairs_add(struct conf_pairs *p, const char *key, const char *value)
{
	p->item = mem_grow(p->item, (p->n + 1) * sizeof *p->item);
	p->item[p->n++] = (struct conf_pair){ mem_str(key), mem_str(value) };
}

static void
text_set(char **at, char *value)
{
	free(*at);
	*at = value;
}

static void
runtime_clear(struct runtime *r)
{
	free(r->name);
	free(r->file);
	free(r->dir);
	free(r->command);
	free(r->program);
	free(r->executor);
	free(r->missing);
	free(r->version);
	list_clear(&r->mime);
	list_clear(&r->flags);
	list_clear(&r->nix);
	list_clear(&r->debian);
	list_clear(&r->npm);
	list_clear(&r->prepare);
	for (size_t i = 0; i < r->permission_flags.n; i++) {
		free(r->permission_flags.item[i].key);
		free(r->permission_flags.item[i].value);
	}
	free(r->permission_flags.item);
	*r = (struct runtime){ 0 };
}

static void
begin(struct runtime *r, const char *name, const char *file)
{
	*r = (struct runtime){ .name = mem_str(name), .file = mem_str(file), .concurrency = 1 };
}

static bool
is_plain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	}
	return n > 0 && n <= TEXT_MAX;
}

/* Adds a MIME type in lower case; false when it is none. */
static bool
add_mime(struct runtime *r, const char *s)
{
	char low[128];
	size_t n = strlen(s);
	const char *slash = strchr(s, '/');

	if (n >= sizeof low || slash == NULL || slash == s || slash[1] == '\0' || strchr(slash + 1, '/') != NULL)
		return false;
	for (size_t i = 0; i <= n; i++)
		low[i] = (char)tolower((unsigned char)s[i]);
	if (strspn(low, "abcdefghijklmnopqrstuvwxyz0123456789/!#$&-^_.+") != n)
		return false;
	list_add(&r->mime, low);
	return true;
}

/* A bare file name, or an absolute path. */
static bool
is_executor_file(const char *s)
{
	return is_plain(s) && (s[0] == '/' || (strchr(s, '/') == NULL && s[0] != '.'));
}

/* ---- the ini form ---- */

struct ini {
	struct runtime *r;
	char why[160];
};

static const char *
ini_scalar(struct ini *ini, char **at, const char *value, bool in_list)
{
	if (in_list || !is_plain(value))
		return "expected one value";
	text_set(at, mem_str(value));
	(void)ini;
	return NULL;
}

static const char *
ini_top(struct ini *ini, const char *key, const char *value, bool in_list)
{
	struct runtime *r = ini->r;

	if (strcmp(key, "name") == 0)
		return in_list ? "expected one value" : NULL; /* for people: [runtimes] gives the name that counts */
	if (strcmp(key, "mimeTypes") == 0)
		return value == NULL || add_mime(r, value) ? NULL : "expected MIME types such as application/javascript";
	if (strcmp(key, "concurrency") == 0) {
		char *end;
		long n = in_list ? 0 : strtol(value, &end, 10);

		if (n < 1 || n > CONCURRENCY_MAX || *end != '\0')
			return "expected a number from 1 to 1024";
		r->concurrency = (int)n;
		return NULL;
	}
	return "unknown key; there are name, mimeTypes, concurrency";
}

static const char *
ini_list(struct conf_list *l, const char *value)
{
	if (value == NULL)
		return NULL;
	if (!is_plain(value))
		return "expected text";
	list_add(l, value);
	return NULL;
}

static const char *
ini_packages(struct runtime *r, const char *key, const char *value, bool in_list)
{
	struct {
		const char *name;
		struct conf_list *list;
	} lists[] = { { "nix", &r->nix }, { "debian", &r->debian }, { "npm", &r->npm }, { "prepare", &r->prepare } };

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		if (strcmp(key, lists[i].name) == 0)
			return ini_list(lists[i].list, value);
	if (strcmp(key, "scripts") != 0)
		return "unknown key; there are nix, debian, npm, prepare, scripts";
	if (in_list || (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0))
		return "expected yes or no";
	r->scripts = strcmp(value, "yes") == 0;
	return NULL;
}

static const char *
on_ini(void *arg, int line, const char *section, const char *key, const char *value, bool in_list)
{
	struct ini *ini = arg;
	struct runtime *r = ini->r;
	static const char *const sections[] = { "executor", "permissionFlags", "packages" };

	(void)line;
	if (key == NULL) {
		for (int i = 0; i < 3; i++) {
			if (strcmp(section, sections[i]) == 0)
				return NULL;
		}
		return "unknown section; there are executor, permissionFlags, packages";
	}
	if (section[0] == '\0')
		return ini_top(ini, key, value, in_list);
	if (strcmp(section, "permissionFlags") == 0) {
		if (in_list || value[0] == '\0')
			return "expected one flag, {} stands for the granted values";
		pairs_add(&r->permission_flags, key, value);
		return NULL;
	}
	if (strcmp(section, "packages") == 0)
		return ini_packages(r, key, value, in_list);
	if (strcmp(key, "command") == 0)
		return ini_scalar(ini, &r->command, value, in_list);
	if (strcmp(key, "flags") == 0)
		return ini_list(&r->flags, value);
	if (strcmp(key, "file") == 0)
		return in_list || !is_executor_file(value) ? "expected a file name" :
		    ini_scalar(ini, &r->executor, value, in_list);
	return "unknown key; there are command, flags, file";
}

/* What both forms must have. */
static int
complete(struct runtime *r, struct err *e)
{
	if (r->mime.n == 0)
		return err_set(e, ERR_INPUT, "%s: mimeTypes is missing: which code does this runtime take?", r->file);
	if (r->command == NULL)
		return err_set(e, ERR_INPUT, "%s: executor.command is missing: which program runs the code?", r->file);
	return 0;
}

int
runtime_parse_ini(struct runtime *r, const char *name, const char *file, const char *text, size_t n, struct err *e)
{
	struct ini ini = { .r = r };

	begin(r, name, file);
	if (conf_read(file, text, n, on_ini, &ini, NULL, e) != 0)
		return -1;
	return complete(r, e);
}

/* ---- the nix form ---- */

/* A string, without the made-up directory of a package: "${pkgs.deno}/bin/deno" is deno. */
static char *
nix_text(const char *s)
{
	const char *base = strrchr(s, '/');

	return mem_str(strncmp(s, NIX_PREFIX, strlen(NIX_PREFIX)) == 0 && base != NULL ? base + 1 : s);
}

static int
nix_list(const cJSON *array, struct conf_list *l, const char *what, const char *file, struct err *e)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array) {
		char *text;

		if (!cJSON_IsString(item) || !is_plain(item->valuestring))
			return err_set(e, ERR_INPUT, "%s: %s: expected a list of strings", file, what);
		text = nix_text(item->valuestring);
		list_add(l, text);
		free(text);
	}
	return 0;
}

static int
nix_executor(struct runtime *r, const cJSON *x, struct err *e)
{
	const char *text = json_string(x, "command");
	const cJSON *flags = json_member(x, "flags"), *item;

	if (text != NULL && is_plain(text))
		r->command = nix_text(text);
	if (flags != NULL && !cJSON_IsArray(flags))
		return err_set(e, ERR_INPUT, "%s: executor.flags: expected a list of strings", r->file);
	if (nix_list(flags, &r->flags, "executor.flags", r->file, e) != 0)
		return -1;
	text = json_string(x, "file");
	if (text != NULL) {
		if (!is_executor_file(text))
			return err_set(e, ERR_INPUT, "%s: executor.file: expected a file name", r->file);
		r->executor = mem_str(text);
	}
	cJSON_ArrayForEach(item, json_object(x, "permissionFlags")) {
		if (!cJSON_IsString(item) || !is_plain(item->valuestring))
			return err_set(e, ERR_INPUT, "%s: executor.permissionFlags.%s: expected one flag", r->file, item->string);
		pairs_add(&r->permission_flags, item->string, item->valuestring);
	}
	return 0;
}

/* What the image is made of: guest.environment. */
static int
nix_environment(struct runtime *r, const cJSON *x, struct err *e)
{
	const struct {
		const char *name;
		struct conf_list *list;
	} lists[] = { { "systemPackages", &r->nix }, { "debian", &r->debian }, { "npm", &r->npm }, { "prepare", &r->prepare } };

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		if (nix_list(json_array(x, lists[i].name), lists[i].list, lists[i].name, r->file, e) != 0)
			return err_wrap(e, "guest.environment");
	}
	return json_bool(x, "scripts", &r->scripts, e) != 0 ? err_wrap(e, "%s: guest.environment", r->file) : 0;
}

int
runtime_parse_nix_json(struct runtime *r, const char *name, const char *file, const char *json, size_t n, struct err *e)
{
	cJSON *tree = NULL;
	const cJSON *item;
	int64_t concurrency = 1;
	int rc = -1;

	begin(r, name, file);
	tree = json_parse(json, n, JSON_DEPTH, e);
	if (tree == NULL) {
		err_wrap(e, "%s", file);
		goto out;
	}
	cJSON_ArrayForEach(item, json_array(tree, "mimeTypes")) {
		if (!cJSON_IsString(item) || !add_mime(r, item->valuestring)) {
			err_set(e, ERR_INPUT, "%s: mimeTypes: expected MIME types such as application/javascript", file);
			goto out;
		}
	}
	if (nix_environment(r, json_object(json_object(tree, "guest"), "environment"), e) != 0 ||
	    nix_executor(r, json_object(tree, "executor"), e) != 0)
		goto out;
	if (json_int(tree, "concurrency", 1, CONCURRENCY_MAX, &concurrency, e) != 0) {
		err_wrap(e, "%s", file);
		goto out;
	}
	r->concurrency = (int)concurrency;
	rc = complete(r, e);
out:
	cJSON_Delete(tree);
	return rc;
}

static bool
known_word(const char *text, const char *word, size_t n)
{
	/* Is the same word earlier in the text?  Definitions are short. */
	for (const char *p = text; p < word; p++) {
		p = memmem(p, (size_t)(word - p), word, n);
		if (p == NULL)
			return false;
		if ((p == text || !(isalnum((unsigned char)p[-1]) || strchr("_-'", p[-1]) != NULL)) &&
		    !(isalnum((unsigned char)p[n]) || strchr("_-'", p[n]) != NULL))
			return true;
	}
	return false;
}

/* Every word of the file as a Nix list of strings. */
static int
nix_words(struct buf *out, const char *text, size_t n, struct err *e)
{
	size_t words = 0;

	for (const char *p = text, *end = text + n; p < end;) {
		const char *w = p;

		if (!isalpha((unsigned char)*p) && *p != '_') {
			/* 3x is no word, nor is its x. */
			if (isdigit((unsigned char)*p))
				while (p < end && isalnum((unsigned char)*p))
					p++;
			else
				p++;
			continue;
		}
		while (p < end && (isalnum((unsigned char)*p) || (*p != '\0' && strchr("_-'", *p) != NULL)))
			p++;
		if (known_word(text, w, (size_t)(p - w)))
			continue;
		if (++words > NIX_WORDS_MAX)
			return err_set(e, ERR_INPUT, "more than %d different words", NIX_WORDS_MAX);
		nix_string(out, w, (size_t)(p - w));
		buf_char(out, ' ');
	}
	return 0;
}

static int
nix_expression(struct buf *out, const char *file, const char *text, size_t n, struct err *e)
{
	buf_str(out, "let names = [ ");
	if (nix_words(out, text, n, e) != 0)
		return err_wrap(e, "%s", file);
	buf_str(out, "];\n"
	    "mk = path: builtins.listToAttrs (map (name: { inherit name;\n"
	    "  value = mk (if path == \"\" then name else path + \".\" + name); }) names)\n"
	    "  // { outPath = \"" NIX_PREFIX "\" + path; __functor = self: arg: self; };\n");
	buf_fmt(out, "plain = v: if builtins.isAttrs v then builtins.substring %zu (-1) (v.outPath or \"\") else toString v;\n",
	    strlen(NIX_PREFIX));
	buf_str(out, "lib = mk \"lib\" // { optional = c: x: if c then [ x ] else [ ]; optionals = c: x: if c then x else [ ];\n"
	    "  mkDefault = x: x; mkForce = x: x; concatStringsSep = builtins.concatStringsSep; };\n"
	    "f = import ");
	nix_string(out, file, strlen(file));
	buf_str(out, ";\n"
	    "given = { pkgs = mk \"\"; inherit lib; };\n"
	    "args = builtins.mapAttrs (name: has: given.${name} or (mk \"\")) (builtins.functionArgs f);\n"
	    "r = if ! builtins.isFunction f then f else f (if args == { } then given else args);\n"
	    "x = r.executor or { };\n"
	    "g = r.guest.environment or { };\n"
	    "in { mimeTypes = r.mimeTypes or [ ]; concurrency = r.concurrency or 1;\n"
	    "  guest.environment = builtins.intersectAttrs { debian = 0; npm = 0; prepare = 0; scripts = 0; } g\n"
	    "    // { systemPackages = map plain (g.systemPackages or [ ]); };\n"
	    "  executor = builtins.intersectAttrs { command = 0; flags = 0; file = 0; permissionFlags = 0; } x; }\n");
	return 0;
}

/* Evaluates the definition; its JSON goes to out. */
static int
nix_evaluate(const char *file, const char *text, size_t n, struct buf *out, struct err *e)
{
	struct buf expression = BUF_INIT;
	char *dir = mem_str(file), *slash = strrchr(dir, '/');
	int rc = -1;

	if (slash != NULL)
		slash[slash == dir ? 1 : 0] = '\0';
	if (nix_expression(&expression, file, text, n, e) == 0) {
		const char *const argv[] = { "nix-instantiate", "--eval", "--strict", "--json", "--store", "dummy://",
			"--option", "restrict-eval", "true", "--option", "allow-import-from-derivation", "false",
			"-I", dir, "-E", expression.data, NULL };

		rc = child_run_within(argv, NIX_TIMEOUT_MS, DEFINITION_MAX, NIX_MEMORY, out, e);
		if (rc != 0 && e != NULL && e->kind == ERR_NOTFOUND)
			err_set(e, ERR_NOTFOUND, "nix-instantiate is not installed, and it takes that to read %s; "
			    "the .ini form does without", file);
		else if (rc != 0 && e != NULL && e->kind == ERR_TIMEOUT)
			err_set(e, ERR_TIMEOUT, "%s: not evaluated within %d seconds", file, NIX_TIMEOUT_MS / 1000);
		else if (rc != 0)
			err_wrap(e, "%s", file);
	}
	buf_clear(&expression);
	free(dir);
	return rc;
}

/* ---- finding things ---- */

static bool
is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Directories that hold NAME/executor…, in order; allocated, NULL past the end. */
static char *
installed_dir(int i)
{
	const char *given = getenv("AT_RUND_RUNTIMES");
	char exe[4096], *slash;
	ssize_t n;

	switch (i) {
	case 0:
		return given != NULL && given[0] == '/' ? mem_str(given) : mem_str("");
	case 1: /* the build tree: build/at-rund, build/san/at-rund and backends/runtimes */
	case 2:
		n = readlink("/proc/self/exe", exe, sizeof exe - 1);
		if (n <= 0)
			return mem_str("");
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		return mem_fmt("%.*s%s/../backends/runtimes", (int)(slash - exe), exe, i == 2 ? "/.." : "");
	case 3:
		return mem_str(AT_RUND_DATADIR "/runtimes");
	default:
		return NULL;
	}
}

/* Whose executor runs under this command: python3.12 and pypy3 are Python. */
static const char *
family(const char *command)
{
	static const struct {
		const char *prefix, *name;
	} known[] = { { "deno", "deno" }, { "node", "node" }, { "python", "python" }, { "pypy", "python" } };
	const char *base = strrchr(command, '/');

	base = base != NULL ? base + 1 : command;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strncmp(base, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].name;
	}
	return NULL;
}

/* The executor in dir, allocated, or NULL; want NULL: whichever we ship. */
static char *
executor_in(const char *dir, const char *want)
{
	static const char *const ours[] = { "executor.mjs", "executor.js", "executor.ts", "executor.py" };

	for (size_t i = 0; i < (want != NULL ? 1 : sizeof ours / sizeof ours[0]); i++) {
		char *path = mem_fmt("%s/%s", dir, want != NULL ? want : ours[i]), *real = realpath(path, NULL);

		free(path);
		if (real != NULL && is_file(real))
			return real;
		free(real);
	}
	return NULL;
}

/* Sets executor (an absolute path) and dir, or missing. */
static void
find_executor(struct runtime *r)
{
	const char *name[2] = { r->name, family(r->command) };
	char *own = mem_str(r->file), *slash = strrchr(own, '/'), *found = NULL, *dir;

	if (r->executor != NULL && r->executor[0] == '/') {
		found = is_file(r->executor) ? realpath(r->executor, NULL) : NULL;
	} else {
		if (slash != NULL)
			slash[slash == own ? 1 : 0] = '\0';
		if (r->executor != NULL)
			found = executor_in(own, r->executor);
		for (int i = 0; found == NULL && (dir = installed_dir(i)) != NULL; i++) {
			for (int j = 0; found == NULL && dir[0] != '\0' && j < 2; j++) {
				char *in = name[j] != NULL ? mem_fmt("%s/%s", dir, name[j]) : NULL;

				found = in != NULL ? executor_in(in, r->executor) : NULL;
				free(in);
			}
			free(dir);
		}
	}
	free(own);
	if (found == NULL) {
		r->missing = r->executor != NULL ? mem_fmt("its executor %s is neither beside %s nor installed", r->executor,
		    r->file) : mem_fmt("at-rund has no executor of its own for %s: name one in executor.file", r->command);
		return;
	}
	text_set(&r->executor, found);
	slash = strrchr(found, '/');
	text_set(&r->dir, mem_strn(found, (size_t)(slash - found)));
}

static bool
is_script(const char *path)
{
	char two[2] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, two, 2) != 2)
			two[0] = '\0';
		close(fd);
	}
	return memcmp(two, "#!", 2) == 0;
}

/* As the next one, but a relative name only, in one directory. */
static char *
program_in(const char *dir, size_t n, const char *name)
{
	char *path = mem_fmt("%.*s/%s", (int)n, dir, name);

	if (dir[0] == '/' && is_file(path) && access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/*
 * Absolute path of a command: PATH, then where installers put things that a daemon's PATH does not name.  Version
 * managers put a shell script first in PATH that finds the real program anew at every start; a real program that
 * stands later is taken instead, for that script costs more than a blank start may.
 */
static char *
find_program(const char *command)
{
	const char *path = getenv("PATH"), *home = getenv("HOME");
	char *all, *script = NULL, *found = NULL;

	if (strchr(command, '/') != NULL)
		return child_which(command);
	all = mem_fmt("%s:/usr/local/bin:/usr/bin:/bin:%s/.deno/bin:%s/.local/bin", path != NULL ? path : "",
	    home != NULL ? home : "", home != NULL ? home : "");
	for (const char *p = all; found == NULL; p++) {
		size_t n = strcspn(p, ":");

		found = program_in(p, n, command);
		if (found != NULL && is_script(found)) {
			if (script == NULL)
				script = found;
			else
				free(found);
			found = NULL;
		}
		p += n;
		if (*p == '\0')
			break;
	}
	free(all);
	if (found == NULL)
		return script;
	free(script);
	return found;
}

/* ---- loading ---- */

static int
read_definition(const char *file, struct buf *out, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = 1;

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOTFOUND : ERR_INTERNAL, "%s: %s", file, strerror(errno));
	while (n > 0 && out->len <= DEFINITION_MAX) {
		n = read(fd, buf_room(out, 16384), 16384);
		if (n > 0)
			out->len += (size_t)n;
	}
	close(fd);
	buf_str(out, "");
	if (n < 0)
		return err_errno(e, "read %s", file);
	if (out->len > DEFINITION_MAX)
		return err_set(e, ERR_INPUT, "%s: longer than %d bytes", file, DEFINITION_MAX);
	return 0;
}

char *
runtime_shipped(const char *name, const char *file)
{
	char *dir, *found = NULL;

	for (int i = 0; found == NULL && (dir = installed_dir(i)) != NULL; i++) {
		char *path = mem_fmt("%s/%s/%s", dir, name, file);

		found = dir[0] != '\0' && is_file(path) ? realpath(path, NULL) : NULL;
		free(path);
		free(dir);
	}
	return found;
}

/* The definition's path: in the home's runtimes directory, else the one that came with at-rund. */
static char *
definition_path(const struct conf *c, const char *name, const char *file)
{
	char *path = file[0] == '/' ? mem_str(file) : mem_fmt("%s/%s", c->runtimes_dir, file);
	char *shipped = file[0] != '/' && !is_file(path) ? runtime_shipped(name, file) : NULL;

	if (shipped != NULL)
		text_set(&path, shipped);
	return path;
}

static void
load_one(struct runtime *r, const struct conf *c, const char *name, const char *file)
{
	char *path = definition_path(c, name, file), *real = realpath(path, NULL);
	size_t n = strlen(file);
	struct buf text = BUF_INIT, json = BUF_INIT;
	struct err e = ERR_INIT;
	int rc;

	if (real != NULL)
		text_set(&path, real);
	begin(r, name, path);
	rc = read_definition(path, &text, &e);
	if (rc == 0 && n > 4 && strcmp(file + n - 4, ".nix") == 0) {
		rc = nix_evaluate(path, text.data, text.len, &json, &e);
		if (rc == 0) {
			runtime_clear(r);
			rc = runtime_parse_nix_json(r, name, path, json.data, json.len, &e);
		}
	} else if (rc == 0 && n > 4 && strcmp(file + n - 4, ".ini") == 0) {
		runtime_clear(r);
		rc = runtime_parse_ini(r, name, path, text.data, text.len, &e);
	} else if (rc == 0) {
		rc = err_set(&e, ERR_INPUT, "%s: a definition is a .ini or a .nix file", path);
	}
	if (rc != 0) {
		text_set(&r->missing, mem_str(e.text));
	} else {
		r->program = find_program(r->command);
		find_executor(r);
	}
	buf_clear(&json);
	buf_clear(&text);
	free(path);
}

/* "deno 2.9.6 (stable, …)", "v20.1.0", "Python 3.11.2": the first word that begins like a version. */
static void *
ask_version(void *arg)
{
	struct runtime *r = arg;
	const char *const argv[] = { r->program, "--version", NULL };
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	if (child_run(argv, VERSION_TIMEOUT_MS, 4096, &out, &e) != 0 || out.len == 0) {
		buf_clear(&out);
		return NULL;
	}
	for (const char *p = out.data; *p != '\0'; p++) {
		bool starts = p == out.data || p[-1] == ' ' || p[-1] == '\n';
		const char *digits = *p == 'v' ? p + 1 : p;
		size_t n = strspn(digits, "0123456789.abcdefghijklmnopqrstuvwxyz-+");

		if (starts && isdigit((unsigned char)*digits) && n < 40) {
			r->version = mem_strn(digits, n);
			break;
		}
	}
	buf_clear(&out);
	return NULL;
}

static void
probe_versions(struct runtimes *rs)
{
	pthread_t *thread = mem_array(rs->n + 1, sizeof *thread);
	bool *started = mem_array(rs->n + 1, sizeof *started);

	for (size_t i = 0; i < rs->n; i++) {
		if (rs->item[i].program != NULL)
			started[i] = pthread_create(&thread[i], NULL, ask_version, &rs->item[i]) == 0;
	}
	for (size_t i = 0; i < rs->n; i++) {
		if (started[i])
			pthread_join(thread[i], NULL);
	}
	free(thread);
	free(started);
}

static int
check_mime(const struct runtimes *rs, struct err *e)
{
	for (size_t i = 0; i < rs->n; i++) {
		for (size_t k = 0; k < rs->item[i].mime.n; k++) {
			for (size_t j = 0; j < i; j++) {
				for (size_t l = 0; l < rs->item[j].mime.n; l++) {
					if (strcmp(rs->item[i].mime.item[k], rs->item[j].mime.item[l]) == 0)
						return err_set(e, ERR_INPUT, "runtimes %s and %s both claim %s (%s, %s)",
						    rs->item[j].name, rs->item[i].name, rs->item[i].mime.item[k],
						    rs->item[j].file, rs->item[i].file);
				}
			}
		}
	}
	return 0;
}

int
runtimes_load(struct runtimes *rs, const struct conf *c, bool probe, struct err *e)
{
	static const struct conf_pair ours[] = {
		{ (char *)"deno", (char *)"deno.ini" },
		{ (char *)"node", (char *)"node.ini" },
		{ (char *)"python", (char *)"python.ini" },
	};
	const struct conf_pair *p = c->runtimes.n > 0 ? c->runtimes.item : ours;
	size_t n = c->runtimes.n > 0 ? c->runtimes.n : 3;

	*rs = (struct runtimes){ mem_array(n, sizeof *rs->item), n };
	for (size_t i = 0; i < n; i++)
		load_one(&rs->item[i], c, p[i].key, p[i].value);
	if (check_mime(rs, e) != 0) {
		runtimes_clear(rs);
		return -1;
	}
	if (probe)
		probe_versions(rs);
	return 0;
}

void
runtimes_clear(struct runtimes *rs)
{
	for (size_t i = 0; i < rs->n; i++)
		runtime_clear(&rs->item[i]);
	free(rs->item);
	*rs = (struct runtimes){ NULL, 0 };
}

const struct runtime *
runtimes_find(const struct runtimes *rs, const char *mime)
{
	size_t n = strcspn(mime, ";");

	while (n > 0 && (mime[n - 1] == ' ' || mime[n - 1] == '\t'))
		n--;
	for (size_t i = 0; i < rs->n; i++) {
		for (size_t k = 0; k < rs->item[i].mime.n; k++) {
			const char *m = rs->item[i].mime.item[k];

			if (strlen(m) == n && strncasecmp(m, mime, n) == 0)
				return &rs->item[i];
		}
	}
	return NULL;
}

const struct runtime *
runtimes_named(const struct runtimes *rs, const char *name)
{
	for (size_t i = 0; i < rs->n; i++) {
		if (strcmp(rs->item[i].name, name) == 0)
			return &rs->item[i];
	}
	return NULL;
}
