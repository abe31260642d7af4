/*
 * How an image comes to be:
 *
 *     npm install          the packages of `npm`, into a directory beside
 *     mmdebstrap           downloads and unpacks the packages of `debian` with all they depend on, from the mirrors of this
 *                          machine's apt; a script of ours then finishes the tree; the result is one tar
 *     tar                  its files as a directory, for the wall `sandbox`, and that directory as a layer
 *     oci_write            the layer as an OCI image
 *     podman load          into the engine, when there is one
 *
 * or, where build.nixpkgs is set and the definition names packages of it, build_nix.c instead of the first two.
 *
 * Packages are unpacked without their scripts: an image is to run one program, and the whole of a Debian that scripts expect
 * would take ten times as long and be three times as large.  A definition that needs them says `scripts = yes`.
 *
 * All times of files are BUILD_DATE (or SOURCE_DATE_EPOCH) at the latest, so the same packages are the same digest.
 */
#include "cli/build.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/engine.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "cli/build_nix.h"
#include "cli/cli.h"
#include "cli/step.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

#define BUILD_DATE  INT64_C(1704067200) /* 2024-01-01 */
#define BUILD_MS    (20 * 60 * 1000)
#define LOAD_MS     (5 * 60 * 1000)
#define PATH_ENV    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Links as in every Debian since 12, made before anything is unpacked into them. */
static const char merge_script[] =
    "cd \"$1\" && for d in bin sbin lib lib32 lib64 libx32; do mkdir -p usr/$d && ln -s usr/$d $d; done";

/* In the tree, with no network and nothing of ours but this text. */
static const char finish_script[] =
    "set -e; cd \"$1\"\n"
    "ls var/cache/apt/archives | sed -n 's/%3a/:/; s/_[^_]*\\.deb$//p' | LC_ALL=C sort >usr/share/at-rund-packages\n"
    "rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian usr/share/bug usr/share/doc-base\n"
    "rm -rf var/log etc/apt/sources.list* etc/cron* etc/init.d etc/systemd boot home media mnt usr/local etc/ssl/private\n"
    "mkdir -p job runtime tmp proc sys dev run etc/ssl/certs\n"
    "chmod 1777 tmp\n"
    "for d in lib32 lib64 libx32; do rmdir usr/$d 2>/dev/null && rm -f $d || :; done\n"
    "printf 'root:x:0:0::/tmp:/usr/sbin/nologin\\nbundle:x:65532:65532::/tmp:/usr/sbin/nologin\\n' >etc/passwd\n"
    "printf 'root:x:0:\\nbundle:x:65532:\\n' >etc/group\n"
    "rm -f etc/shadow* etc/gshadow* etc/passwd- etc/group- etc/hostname etc/fstab etc/machine-id\n"
    "printf '127.0.0.1 localhost\\n::1 localhost\\n' >etc/hosts\n"
    "printf 'passwd: files\\ngroup: files\\nhosts: files dns\\n' >etc/nsswitch.conf\n"
    "rm -f etc/resolv.conf; printf 'nameserver 127.0.0.1\\n' >etc/resolv.conf\n"
    "if [ ! -s etc/ssl/certs/ca-certificates.crt ] && [ -d usr/share/ca-certificates ]; then\n"
    "  find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat >etc/ssl/certs/ca-certificates.crt; fi\n"
    "ldconfig -r . 2>/dev/null || :; rm -rf var/cache/ldconfig\n"
    "find . -xdev -type f -perm /6000 -exec chmod a-s {} +\n"
    "exe=$(find usr/lib/node_modules -type f -name \"$COMMAND\" -size +1000k 2>/dev/null | LC_ALL=C sort | head -n 1)\n"
    "if [ -n \"$exe\" ]; then chmod 755 \"$exe\"; ln -sf \"/$exe\" \"usr/bin/$COMMAND\"; fi\n";

struct build {
	struct cli *cli;
	const struct conf *conf;
	const struct runtime *r;
	const struct engine *engine;
	char *images, *dir, *old, *to, *log, *debian, *layer, *tar, *npm;
	int64_t date;
};

/* --- small things --- */

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

static int
step(struct build *b, const char *what, struct conf_list *words /* freed */, int timeout_ms, struct err *e)
{
	const char **argv = mem_array(words->n + 1, sizeof *argv);
	char *said = mem_fmt("%s: %s", b->r->name, what);
	int rc;

	for (size_t i = 0; i < words->n; i++)
		argv[i] = words->item[i];
	rc = step_run(b->cli, said, argv, timeout_ms, b->log, e);
	free(said);
	free(argv);
	list_clear(words);
	return rc;
}

static void
begin(struct build *b)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	long long date = epoch != NULL ? strtoll(epoch, NULL, 10) : 0;

	b->images = mem_fmt("%s/images", b->conf->home);
	b->dir = image_dir(b->conf, b->r->name);
	b->old = mem_fmt("%s/.%s.old", b->images, b->r->name);
	b->to = mem_fmt("%s/.%s.new", b->images, b->r->name);
	b->log = mem_fmt("%s/%s.log", b->images, b->r->name);
	b->debian = mem_fmt("%s/debian.tar", b->to);
	b->layer = mem_fmt("%s/layer.tar", b->to);
	b->tar = mem_fmt("%s/image.tar", b->to);
	b->npm = mem_fmt("%s/npm", b->to);
	b->date = date > 0 ? date : BUILD_DATE;
}

static void
end(struct build *b)
{
	free(b->images);
	free(b->dir);
	free(b->old);
	free(b->to);
	free(b->log);
	free(b->debian);
	free(b->layer);
	free(b->tar);
	free(b->npm);
}

static int
make_dirs(struct build *b, struct err *e)
{
	if (mkdir(b->images, 0700) != 0 && errno != EEXIST)
		return err_errno(e, "make %s", b->images);
	if (bundle_remove(b->to, e) != 0)
		return -1;
	unlink(b->log);
	return mkdir(b->to, 0755) == 0 ? 0 : err_errno(e, "make %s", b->to);
}

/* Two builds of one home would tread on each other. */
static int
lock_images(struct build *b, struct err *e)
{
	char *path = mem_fmt("%s/.lock", b->images);
	int fd;

	if (mkdir(b->images, 0700) != 0 && errno == ENOENT) {
		err_set(e, ERR_NOTFOUND, "there is no home to put images into, %s: at-rund init makes one", b->images);
		free(path);
		return -1;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		err_errno(e, "open %s", path);
	else if (flock(fd, LOCK_EX) != 0)
		err_errno(e, "lock %s", path);
	free(path);
	return fd;
}

/* How the operator's tools reach their servers is theirs to say: proxies, certificates, registries. */
static void
add_environment(struct conf_list *l)
{
	static const char *const passed[] = { "npm_config_", "NPM_CONFIG_", "NODE_EXTRA_CA_CERTS=", "SSL_CERT_FILE=", "http_proxy=",
		"https_proxy=", "no_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=" };

	add(l, mem_str("env"));
	for (char **v = environ; *v != NULL; v++)
		for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
			if (strncmp(*v, passed[i], strlen(passed[i])) == 0)
				add(l, mem_str(*v));
}

/* --- the parts --- */

static int
npm_install(struct build *b, struct err *e)
{
	struct conf_list l = { NULL, 0 };

	if (b->r->npm.n == 0)
		return 0;
	if (mkdir(b->npm, 0755) != 0)
		return err_errno(e, "make %s", b->npm);
	add_environment(&l);
	add(&l, mem_str("npm"));
	add(&l, mem_str("install"));
	add(&l, mem_str("--prefix"));
	add(&l, mem_str(b->npm));
	for (const char *const *o = (const char *const[]){ "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock",
	    "--prefer-offline", "--no-update-notifier", "--loglevel=error", NULL }; *o != NULL; o++)
		add(&l, mem_str(*o));
	for (size_t i = 0; i < b->r->npm.n; i++)
		add(&l, mem_str(b->r->npm.item[i]));
	if (step(b, "npm packages", &l, BUILD_MS, e) != 0)
		return -1;
	/* Where they came from is this machine's business, and would differ from one to the next. */
	add(&l, mem_str("rm"));
	add(&l, mem_str("-rf"));
	add(&l, mem_fmt("%s/node_modules/.package-lock.json", b->npm));
	add(&l, mem_fmt("%s/node_modules/.bin", b->npm));
	return step(b, "npm packages", &l, BUILD_MS, e);
}

/* "bookworm". */
static char *
suite(struct err *e)
{
	FILE *f = fopen("/etc/os-release", "re");
	char line[256], *name = NULL;

	while (f != NULL && name == NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "VERSION_CODENAME=", 17) == 0)
			name = mem_strn(line + 17, strcspn(line + 17, "\"\n"));
	if (f != NULL)
		fclose(f);
	if (name == NULL || name[0] == '\0') {
		err_set(e, ERR_INPUT, "images are made of Debian's packages, and /etc/os-release names no VERSION_CODENAME");
		free(name);
		return NULL;
	}
	return name;
}

/* The files in which this machine's apt keeps its mirrors. */
static void
add_sources(struct conf_list *l)
{
	static const char *const patterns[] = { "/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list",
		"/etc/apt/sources.list.d/*.sources" };
	glob_t found = { 0 };
	struct stat st;
	size_t i;

	for (i = 0; i < 3; i++)
		glob(patterns[i], i > 0 ? GLOB_APPEND : 0, NULL, &found);
	for (i = 0; i < found.gl_pathc; i++)
		if (stat(found.gl_pathv[i], &st) == 0 && st.st_size > 0)
			add(l, mem_str(found.gl_pathv[i]));
	globfree(&found);
}

/* Proxies and the like, as apt reads them. */
static void
add_apt_options(struct conf_list *l)
{
	glob_t found = { 0 };
	size_t i;

	if (glob("/etc/apt/apt.conf.d/*proxy*", 0, NULL, &found) == 0)
		for (i = 0; i < found.gl_pathc; i++)
			add(l, mem_fmt("--aptopt=%s", found.gl_pathv[i]));
	globfree(&found);
	if (access("/etc/apt/apt.conf", R_OK) == 0)
		add(l, mem_str("--aptopt=/etc/apt/apt.conf"));
}

static void
add_hooks(struct build *b, struct conf_list *l)
{
	const char *hook = b->r->scripts ? "--customize-hook" : "--extract-hook";

	if (!b->r->scripts)
		add(l, mem_fmt("--setup-hook=%s", merge_script));
	if (b->r->npm.n > 0) {
		add(l, mem_fmt("%s=mkdir -p \"$1\"/usr/lib", hook));
		add(l, mem_fmt("%s=copy-in '%s/node_modules' /usr/lib", hook, b->npm));
	}
	add(l, mem_fmt("%s=%s", hook, finish_script));
	for (size_t i = 0; i < b->r->prepare.n; i++)
		add(l, mem_fmt("%s=LC_ALL=C.UTF-8 PYTHONHASHSEED=0 chroot \"$1\" %s", hook, b->r->prepare.item[i]));
	/* Not the file by which apt knows to work in there: without it mmdebstrap would clean this machine's own lists. */
	if (b->r->prepare.n > 0)
		add(l, mem_fmt("%s=find \"$1\"/tmp -mindepth 1 -maxdepth 1 ! -name 'mmdebstrap.apt.conf.*' -exec rm -rf {} +", hook));
}

static int
debian(struct build *b, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	struct buf include = BUF_INIT;
	char *name = suite(e);

	if (name == NULL)
		return -1;
	for (size_t i = 0; i < b->r->debian.n; i++)
		buf_fmt(&include, "%s%s", i > 0 ? "," : "", b->r->debian.item[i]);
	add_environment(&l);
	add(&l, mem_str(PATH_ENV));
	add(&l, mem_fmt("SOURCE_DATE_EPOCH=%lld", (long long)b->date));
	add(&l, mem_fmt("COMMAND=%s", strrchr(b->r->command, '/') != NULL ? strrchr(b->r->command, '/') + 1 : b->r->command));
	add(&l, mem_str("mmdebstrap"));
	add(&l, mem_fmt("--variant=%s", b->r->scripts ? "essential" : "extract"));
	add(&l, mem_str("--format=tar"));
	if (include.len > 0)
		add(&l, mem_fmt("--include=%s", include.data));
	add_apt_options(&l);
	add_hooks(b, &l);
	add(&l, name);
	add(&l, mem_str(b->debian));
	add_sources(&l);
	buf_clear(&include);
	return step(b, "Debian packages", &l, BUILD_MS, e);
}

static int
unpack(struct build *b, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	char *root = mem_fmt("%s/root", b->to);
	int rc = -1;

	if (mkdir(root, 0755) != 0) {
		err_errno(e, "make %s", root);
		goto out;
	}
	for (const char *const *o = (const char *const[]){ "tar", "--extract", "--preserve-permissions", "--no-same-owner",
	    "--delay-directory-restore", "--exclude=./dev/*", "--file", b->debian, "--directory", root, NULL }; *o != NULL; o++)
		add(&l, mem_str(*o));
	/* What mmdebstrap needs to the end and nobody afterwards. */
	for (const char *const *o = (const char *const[]){ "--exclude=./var", "--exclude=./etc/apt", "--exclude=./etc/dpkg", NULL };
	    !b->r->scripts && *o != NULL; o++)
		add(&l, mem_str(*o));
	rc = step(b, "files for the sandbox", &l, BUILD_MS, e);
	unlink(b->debian);
out:
	free(root);
	return rc;
}

/* The tree as a layer, in which nothing tells who unpacked it, where, or when. */
static int
pack(struct build *b, struct err *e)
{
	struct conf_list l = { NULL, 0 };

	for (const char *const *o = (const char *const[]){ "tar", "--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0",
	    "--numeric-owner", "--clamp-mtime", NULL }; *o != NULL; o++)
		add(&l, mem_str(*o));
	add(&l, mem_fmt("--mtime=@%lld", (long long)b->date));
	add(&l, mem_fmt("--file=%s", b->layer));
	add(&l, mem_fmt("--directory=%s/root", b->to));
	add(&l, mem_str("."));
	return step(b, "files for the engine", &l, BUILD_MS, e);
}

static int
load(struct build *b, const char *id, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	const char *const there[] = { "image", "inspect", "--format", "{{.Id}}", id, NULL };
	struct buf out = BUF_INIT;
	int rc;

	if (b->engine == NULL)
		return 0;
	add(&l, mem_str("env"));
	add(&l, mem_str("-i"));
	engine_env(b->engine, &l);
	engine_argv(b->engine, &l);
	add(&l, mem_str("load"));
	add(&l, mem_str("--quiet"));
	add(&l, mem_str("--input"));
	add(&l, mem_str(b->tar));
	if (step(b, "into the engine", &l, LOAD_MS, e) != 0)
		return -1;
	rc = engine_run(b->engine, there, LOAD_MS, &out, e);
	buf_clear(&out);
	return rc == 0 ? 0 : err_wrap(e, "the image was loaded, but %s does not know it", engine_name(b->engine));
}

/* Where the command lies inside, allocated. */
static char *
find_program(const struct build *b, struct err *e)
{
	static const char *const places[] = { "/usr/local/bin", "/usr/bin", "/usr/sbin" };
	const char *name = b->r->command;
	struct stat st;

	for (size_t i = 0; i < (name[0] == '/' ? 1 : 3); i++) {
		char *inside = name[0] == '/' ? mem_str(name) : mem_fmt("%s/%s", places[i], name);
		char *path = mem_fmt("%s/root%s", b->to, inside);
		bool found = lstat(path, &st) == 0;

		free(path);
		if (found)
			return inside;
		free(inside);
	}
	err_set(e, ERR_INPUT, "%s: its packages bring no program %s", b->r->file, name);
	return NULL;
}

static int
write_state(struct build *b, const char *id, int64_t bytes, int64_t now, struct err *e)
{
	char *program = find_program(b, e), *path = mem_fmt("%s/image.json", b->to);
	struct buf s = BUF_INIT;
	FILE *f;
	int rc = -1;

	if (program == NULL)
		goto out;
	buf_fmt(&s, "{\"image\":\"%s\",\"key\":\"", id);
	image_key(b->conf, b->r, &s);
	buf_str(&s, "\",\"program\":");
	buf_json_str(&s, program);
	buf_fmt(&s, ",\"bytes\":%lld,\"built\":%lld}\n", (long long)bytes, (long long)now);
	f = fopen(path, "we");
	if (f == NULL || fwrite(s.data, 1, s.len, f) != s.len || fflush(f) != 0 || fsync(fileno(f)) != 0)
		err_errno(e, "write %s", path);
	else
		rc = 0;
	if (f != NULL)
		fclose(f);
out:
	buf_clear(&s);
	free(program);
	free(path);
	return rc;
}

/* The one before stays until the next build: instances that run may have its files under them. */
static int
put_in_place(struct build *b, struct err *e)
{
	if (bundle_remove(b->npm, e) != 0 || bundle_remove(b->old, e) != 0)
		return -1;
	unlink(b->layer);
	if (rename(b->dir, b->old) != 0 && errno != ENOENT)
		return err_errno(e, "move %s aside", b->dir);
	return rename(b->to, b->dir) == 0 ? 0 : err_errno(e, "put %s in place", b->dir);
}

/* The tree in root/, by Nix or out of Debian's packages. */
static int
files(struct build *b, struct err *e)
{
	if (image_with_nix(b->conf, b->r))
		return build_nix(b->cli, b->conf, b->r, b->to, b->log, e);
	return npm_install(b, e) == 0 && debian(b, e) == 0 ? unpack(b, e) : -1;
}

static int
make(struct build *b, struct built *out, struct err *e)
{
	char *name = mem_fmt("localhost/at-rund/%s", b->r->name);
	struct oci o = { b->layer, name, b->r->name, b->date };
	int rc = -1;

	if (make_dirs(b, e) == 0 && files(b, e) == 0 && pack(b, e) == 0 &&
	    oci_write(&o, b->tar, out->id, &out->bytes, e) == 0 && load(b, out->id, e) == 0 &&
	    write_state(b, out->id, out->bytes, out->built_ms, e) == 0)
		rc = put_in_place(b, e);
	if (rc != 0)
		bundle_remove(b->to, NULL);
	free(name);
	return rc;
}

/* Does the engine still know the image?  Otherwise it gets it again from image.tar. */
static int
known_to_engine(struct build *b, const char *id, struct err *e)
{
	const char *const there[] = { "image", "inspect", "--format", "{{.Id}}", id, NULL };
	struct buf out = BUF_INIT;
	int rc = b->engine == NULL ? 0 : engine_run(b->engine, there, LOAD_MS, &out, NULL);

	buf_clear(&out);
	if (rc == 0)
		return 0;
	free(b->tar);
	b->tar = mem_fmt("%s/image.tar", b->dir);
	return load(b, id, e);
}

int
build_image(struct cli *c, const struct conf *conf, const struct runtime *r, const struct engine *x, bool force,
    struct built *out, struct err *e)
{
	struct build b = { .cli = c, .conf = conf, .r = r, .engine = x };
	int64_t began = clock_mono_ms();
	struct image old = { 0 };
	struct buf key = BUF_INIT;
	int lock, rc = -1;

	*out = (struct built){ .built_ms = clock_wall_ms() };
	begin(&b);
	if ((lock = lock_images(&b, e)) < 0)
		goto out;
	image_key(conf, r, &key);
	if (image_load(&old, conf, r->name, NULL) == 0 && !force && strcmp(old.key, key.data) == 0) {
		out->fresh = out->same = true;
		out->built_ms = old.built_ms;
		out->bytes = old.bytes;
		snprintf(out->id, sizeof out->id, "%s", old.id);
		rc = known_to_engine(&b, old.id, e);
	} else {
		rc = make(&b, out, e);
		out->same = old.id != NULL && strcmp(old.id, out->id) == 0;
	}
	out->took_ms = clock_mono_ms() - began;
out:
	if (lock >= 0)
		close(lock);
	image_clear(&old);
	buf_clear(&key);
	end(&b);
	return rc;
}
