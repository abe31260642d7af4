/*
 *     nix-build      the packages, as the operator's nix.conf has them built or fetched; links to them in DIR/nix
 *     nix-store -qR  all that they need, down to the C library
 *     cp             those paths as they are: nothing in them depends on where they come from
 *     a script       links to the packages' programs, and the few files that programs look for in /etc
 *
 * Evaluation may read the nixpkgs and the definition's directory, and nothing else: a definition is a program that somebody
 * may have copied from somewhere, and what is in the operator's files could end up in an image.
 */
#include "cli/build_nix.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/nix.h"
#include "backends/runtime.h"
#include "cli/cli.h"
#include "cli/step.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

#define BUILD_MS (60 * 60 * 1000) /* something large may have to be built, not only fetched */
#define ASK_MS   60000
#define ASK_MAX  (1 << 20)
#define STORE    "/nix/store/"

/* In the new root; the packages' paths follow.  Of programs with one name the first package's is taken. */
static const char finish_script[] =
    "set -e; cd \"$1\"; shift; umask 022\n"
    "mkdir -p usr/bin etc/ssl/certs job runtime tmp proc sys dev run; chmod 1777 tmp; ln -s usr/bin bin\n"
    "for p do\n"
    "  for f in \".$p\"/bin/*; do\n"
    "    [ -e \"usr/bin/${f##*/}\" ] || [ -h \"usr/bin/${f##*/}\" ] || [ ! -e \"$f\" ] || ln -s \"$p/bin/${f##*/}\" usr/bin/\n"
    "  done\n"
    "  for f in ca-bundle.crt ca-certificates.crt; do\n"
    "    [ ! -s \".$p/etc/ssl/certs/$f\" ] || cp \".$p/etc/ssl/certs/$f\" etc/ssl/certs/ca-certificates.crt; done\n"
    "done\n"
    "printf 'root:x:0:0::/tmp:/sbin/nologin\\nbundle:x:65532:65532::/tmp:/sbin/nologin\\n' >etc/passwd\n"
    "printf 'root:x:0:\\nbundle:x:65532:\\n' >etc/group\n"
    "printf '127.0.0.1 localhost\\n::1 localhost\\n' >etc/hosts\n"
    "printf 'passwd: files\\ngroup: files\\nhosts: files dns\\n' >etc/nsswitch.conf\n"
    "printf 'nameserver 127.0.0.1\\n' >etc/resolv.conf\n";

struct job {
	struct cli *cli;
	const struct runtime *r;
	const char *log;
	char *nixpkgs, *links, *root;
	struct conf_list packages, closure; /* store paths */
};

static void
add(struct conf_list *l, char *s /* taken over */)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof *l->item);
	l->item[l->n++] = s;
}

static void
list_clear(struct conf_list *l)
{
	while (l->n > 0)
		free(l->item[--l->n]);
	free(l->item);
	l->item = NULL;
}

/* How the operator's Nix is set up is theirs to say. */
static void
add_environment(struct conf_list *l)
{
	static const char *const passed[] = { "NIX_CONFIG=", "NIX_CONF_DIR=", "NIX_REMOTE=", "NIX_STATE_DIR=", "NIX_LOG_DIR=",
		"NIX_SSL_CERT_FILE=", "http_proxy=", "https_proxy=", "no_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=" };

	add(l, mem_str("env"));
	for (char **v = environ; *v != NULL; v++)
		for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
			if (strncmp(*v, passed[i], strlen(passed[i])) == 0)
				add(l, mem_str(*v));
}

static void
add_words(struct conf_list *l, const char *const words[])
{
	for (; *words != NULL; words++)
		add(l, mem_str(*words));
}

static const char **
vector(const struct conf_list *l)
{
	const char **v = mem_array(l->n + 1, sizeof *v);

	for (size_t i = 0; i < l->n; i++)
		v[i] = l->item[i];
	return v;
}

static int
step(struct job *j, const char *what, struct conf_list *words /* freed */, struct err *e)
{
	const char **argv = vector(words);
	char *said = mem_fmt("%s: %s", j->r->name, what);
	int rc = step_run(j->cli, said, argv, BUILD_MS, j->log, e);

	free(said);
	free(argv);
	list_clear(words);
	return rc;
}

static int
build_packages(struct job *j, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	struct buf expression = BUF_INIT;
	const char *slash = strrchr(j->r->file, '/');

	nix_packages(j->r, j->nixpkgs, &expression);
	add_environment(&l);
	add_words(&l, (const char *const[]){ "nix-build", "--option", "restrict-eval", "true", "--option",
	    "allow-import-from-derivation", "false", "-I", j->nixpkgs, NULL });
	if (slash != NULL) {
		add(&l, mem_str("-I"));
		add(&l, mem_strn(j->r->file, slash == j->r->file ? 1 : (size_t)(slash - j->r->file)));
	}
	add_words(&l, (const char *const[]){ "--out-link", NULL });
	add(&l, mem_fmt("%s/result", j->links));
	add(&l, mem_str("-E"));
	add(&l, buf_take(&expression));
	return step(j, "Nix packages", &l, e);
}

/* Where the links lead to: result, result-2, …, in the order of the definition. */
static int
find_packages(struct job *j, struct err *e)
{
	char to[512];

	for (size_t i = 1;; i++) {
		char *link = i == 1 ? mem_fmt("%s/result", j->links) : mem_fmt("%s/result-%zu", j->links, i);
		ssize_t n = readlink(link, to, sizeof to - 1);

		free(link);
		if (n < 0)
			break;
		to[n] = '\0';
		if (strncmp(to, STORE, strlen(STORE)) != 0)
			return err_set(e, ERR_INPUT, "%s is not in " STORE ": images are made of a store of that name only", to);
		add(&j->packages, mem_str(to));
	}
	return j->packages.n > 0 ? 0 : err_set(e, ERR_INPUT, "%s: its systemPackages are none", j->r->file);
}

static int
find_closure(struct job *j, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	struct buf out = BUF_INIT;
	char *rest, *line;
	const char **argv;
	int rc;

	add_environment(&l);
	add_words(&l, (const char *const[]){ "nix-store", "--query", "--requisites", NULL });
	for (size_t i = 0; i < j->packages.n; i++)
		add(&l, mem_str(j->packages.item[i]));
	argv = vector(&l);
	rc = child_run(argv, ASK_MS, ASK_MAX, &out, e);
	for (rest = out.data; rc == 0 && rest != NULL && (line = strsep(&rest, "\n")) != NULL;)
		if (strncmp(line, STORE, strlen(STORE)) == 0)
			add(&j->closure, mem_str(line));
	free(argv);
	list_clear(&l);
	buf_clear(&out);
	return rc == 0 ? 0 : err_wrap(e, "nix-store");
}

static int
copy_closure(struct job *j, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	char *store = mem_fmt("%s/nix/store", j->root);

	add_words(&l, (const char *const[]){ "mkdir", "-p", store, NULL });
	if (step(j, "files of the packages", &l, e) != 0) {
		free(store);
		return -1;
	}
	add_words(&l, (const char *const[]){ "cp", "-R", "-P", "--preserve=mode,timestamps,links", "--reflink=auto", "--", NULL });
	for (size_t i = 0; i < j->closure.n; i++)
		add(&l, mem_str(j->closure.item[i]));
	add(&l, store);
	if (step(j, "files of the packages", &l, e) != 0)
		return -1;
	/* What nobody may write to, nobody but root could remove again. */
	add_words(&l, (const char *const[]){ "chmod", "-R", "u+w", j->root, NULL });
	return step(j, "files of the packages", &l, e);
}

static int
finish(struct job *j, struct err *e)
{
	struct conf_list l = { NULL, 0 };

	add_words(&l, (const char *const[]){ "sh", "-c", finish_script, "sh", j->root, NULL });
	for (size_t i = 0; i < j->packages.n; i++)
		add(&l, mem_str(j->packages.item[i]));
	return step(j, "programs of the packages", &l, e);
}

static int
make_dirs(const struct job *j, struct err *e)
{
	if (mkdir(j->root, 0755) != 0)
		return err_errno(e, "make %s", j->root);
	return mkdir(j->links, 0755) == 0 ? 0 : err_errno(e, "make %s", j->links);
}

int
build_nix(struct cli *c, const struct conf *conf, const struct runtime *r, const char *dir, const char *log, struct err *e)
{
	struct job j = { .cli = c, .r = r, .log = log, .links = mem_fmt("%s/nix", dir), .root = mem_fmt("%s/root", dir) };
	char *tool = child_which("nix-build");
	int rc = -1;

	/* Real, for evaluation may not follow a link to what it may not read. */
	if (tool == NULL)
		err_set(e, ERR_NOTFOUND, "build.nixpkgs is set, and nix-build is not installed: apt install nix-bin");
	else if ((j.nixpkgs = realpath(conf->build.nixpkgs, NULL)) == NULL)
		err_errno(e, "build.nixpkgs = %s", conf->build.nixpkgs);
	else if (make_dirs(&j, e) == 0 && build_packages(&j, e) == 0 && find_packages(&j, e) == 0 && find_closure(&j, e) == 0 &&
	    copy_closure(&j, e) == 0 && finish(&j, e) == 0)
		rc = bundle_remove(j.links, e);
	list_clear(&j.packages);
	list_clear(&j.closure);
	free(j.nixpkgs);
	free(j.links);
	free(j.root);
	free(tool);
	return rc;
}
