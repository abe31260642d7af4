#include "scheduler/dev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/cid.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/syntax.h"
#include "scheduler/catalog.h"
#include "scheduler/loop.h"

#define DEPTH_MAX   16
#define RECORD_MAX  (1u << 20)

#define KNOWN_MAX   64
#define KNOWN_MS    1000 /* for file systems that tell nobody of changes */
#define CHANGES     (IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | \
		     IN_MOVE_SELF)

/* What a name meant when its files were looked at last; inotify says that nothing has changed since. */
struct known {
	char *name;
	struct code *code;
	int64_t until_ms;
};

struct dev {
	const struct conf *conf;
	const struct runtimes *runtimes;
	struct catalog *catalog;
	struct known known[KNOWN_MAX];
	size_t known_n;
	bool heard;     /* in this batch of questions */
	int inotify_fd; /* -1: there is none, files are looked at for each call */
};

/* What stands where: the folder DIR/NAME, or a single file. */
struct place {
	char *path;
	const char *ext; /* NULL: a folder */
};

static const char *const extensions[] = { "ts", "mjs", "js", "py" };
#define EXTENSIONS (sizeof extensions / sizeof extensions[0])

struct dev *
dev_new(const struct conf *c, const struct runtimes *rs, struct catalog *cat)
{
	struct dev *d = mem_alloc(sizeof *d);
	char *dir = mem_fmt("%s/dev", c->run_dir);

	d->conf = c;
	d->runtimes = rs;
	d->catalog = cat;
	d->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	bundle_remove(dir, NULL); /* copies of an earlier run */
	mkdir(dir, 0700);
	free(dir);
	return d;
}

static void
known_drop(struct dev *d, size_t i)
{
	free(d->known[i].name);
	code_unref(d->known[i].code);
	d->known[i] = d->known[--d->known_n];
}

void
dev_batch(struct dev *d)
{
	if (d != NULL)
		d->heard = false;
}

/* Anything that happened since the last look makes all answers old: it is rare. */
static void
hear_changes(struct dev *d)
{
	char events[4096] __attribute__((aligned(8)));
	bool any = d->inotify_fd < 0;

	if (d->heard)
		return;
	d->heard = true;
	while (d->inotify_fd >= 0 && read(d->inotify_fd, events, sizeof events) > 0)
		any = true;
	while (any && d->known_n > 0)
		known_drop(d, d->known_n - 1);
}

static struct code *
known_find(struct dev *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->known_n; i++) {
		if (strcmp(d->known[i].name, name) != 0)
			continue;
		if (d->known[i].until_ms > loop_now_ms())
			return d->known[i].code;
		known_drop(d, i);
		break;
	}
	return NULL;
}

static void
known_add(struct dev *d, const char *name, struct code *code)
{
	if (d->known_n == KNOWN_MAX)
		known_drop(d, 0);
	d->known[d->known_n++] = (struct known){ mem_str(name), code_ref(code), loop_now_ms() + KNOWN_MS };
}

void
dev_free(struct dev *d)
{
	if (d == NULL)
		return;
	while (d->known_n > 0)
		known_drop(d, d->known_n - 1);
	if (d->inotify_fd >= 0)
		close(d->inotify_fd);
	free(d);
}

/* Before the files are looked at, so that no change falls in between. */
static void
watch_dir(const struct dev *d, int dir_fd)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
	if (d->inotify_fd >= 0)
		inotify_add_watch(d->inotify_fd, path, CHANGES);
}

/* --- the pseudo-CID --- */

static void
hash_stat(struct cid_hash *h, const char *name, const struct stat *st)
{
	const int64_t facts[] = { (int64_t)st->st_mode, (int64_t)st->st_size, (int64_t)st->st_ino,
		(int64_t)st->st_mtim.tv_sec, (int64_t)st->st_mtim.tv_nsec };

	cid_hash_update(h, name, strlen(name) + 1);
	cid_hash_update(h, facts, sizeof facts);
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
hash_tree(const struct dev *d, struct cid_hash *h, int dir_fd, int depth, int64_t *left, struct err *e)
{
	struct dirent **names = NULL;
	int n, i, rc = -1;

	watch_dir(d, dir_fd);
	n = scandirat(dir_fd, ".", &names, NULL, by_name);
	if (n < 0)
		return err_errno(e, "read a bundle's folder");
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		struct stat st;
		int fd;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (--*left < 0 || depth > DEPTH_MAX) {
			err_named(e, ERR_INPUT, "InvalidBundle", "the folder has too many files (atproto.entries) or is too deep");
			goto out;
		}
		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		hash_stat(h, name, &st);
		if (!S_ISDIR(st.st_mode))
			continue;
		fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (hash_tree(d, h, fd, depth + 1, left, e) != 0) {
			close(fd);
			goto out;
		}
		close(fd);
		cid_hash_update(h, "/", 2);
	}
	rc = 0;
out:
	for (i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return rc;
}

static int
pseudo_cid(const struct dev *d, const struct place *p, const char *name, char out[80], struct err *e)
{
	int64_t left = d->conf->atproto.entries;
	struct cid_hash h;
	struct cid cid;
	struct stat st;
	char text[CID_TEXT + 1];
	int fd, rc;

	cid_hash_init(&h);
	cid_hash_update(&h, name, strlen(name) + 1);
	if (stat(p->path, &st) != 0)
		return err_errno(e, "look at %s", p->path);
	hash_stat(&h, p->ext != NULL ? p->ext : "", &st);
	if (p->ext == NULL) {
		fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(e, "open %s", p->path);
		rc = hash_tree(d, &h, fd, 0, &left, e);
		close(fd);
		if (rc != 0)
			return -1;
	}
	cid_hash_final(&h, CID_RAW, &cid);
	cid_print(&cid, text);
	snprintf(out, 80, "dev-%.40s", text + 8); /* behind the constant head of a CID */
	return 0;
}

/* --- what it is --- */

static int
watch_root(const struct dev *d, struct err *e)
{
	int fd = open(d->conf->dev_conf.bundles, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "open %s (dev.bundles)", d->conf->dev_conf.bundles);
	watch_dir(d, fd);
	close(fd);
	return 0;
}

static int
find_place(const struct dev *d, const char *name, struct place *p, struct err *e)
{
	struct stat st;
	size_t i;

	if (!syntax_bundle_name(name, strlen(name)) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_named(e, ERR_NOTFOUND, "BundleNotFound", "no such bundle");
	p->ext = NULL;
	p->path = mem_fmt("%s/%s", d->conf->dev_conf.bundles, name);
	if (stat(p->path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	for (i = 0; i < EXTENSIONS; i++) {
		free(p->path);
		p->path = mem_fmt("%s/%s.%s", d->conf->dev_conf.bundles, name, extensions[i]);
		p->ext = extensions[i];
		if (stat(p->path, &st) == 0 && S_ISREG(st.st_mode))
			return 0;
	}
	return err_named(e, ERR_NOTFOUND, "BundleNotFound", "no bundle '%s' in %s", name, d->conf->dev_conf.bundles);
}

static const char *
mime_of(const struct dev *d, const char *runtime)
{
	const struct runtime *r = runtimes_named(d->runtimes, runtime);

	return r != NULL && r->missing == NULL && r->mime.n > 0 ? r->mime.item[0] : NULL;
}

/* deno takes all of JavaScript; without it node takes what it can. */
static const char *
mime_for(const struct dev *d, const char *ext)
{
	const char *mime;

	if (strcmp(ext, "py") == 0)
		return mime_of(d, "python");
	mime = mime_of(d, "deno");
	return mime != NULL ? mime : mime_of(d, "node");
}

static const char *
main_extension(const char *dir, char file[16])
{
	size_t i;

	for (i = 0; i < EXTENSIONS; i++) {
		char *path = mem_fmt("%s/main.%s", dir, extensions[i]);
		bool there = access(path, R_OK) == 0;

		free(path);
		snprintf(file, 16, "main.%s", extensions[i]);
		if (there)
			return extensions[i];
	}
	return NULL;
}

static int
read_record(const char *dir, struct buf *out)
{
	char *path = mem_fmt("%s/bundle.json", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	free(path);
	if (fd < 0)
		return -1;
	while (out->len < RECORD_MAX && (n = read(fd, buf_room(out, 65536), 65536)) > 0)
		out->len += (size_t)n;
	close(fd);
	return out->len > 0 ? 0 : -1;
}

/* The record of the folder, or one made up from the name of its main file. */
static struct bundle *
make_bundle(const struct dev *d, const struct place *p, const char *dir, struct err *e)
{
	struct buf json = BUF_INIT;
	struct bundle *b = NULL;
	const char *ext, *mime;
	char file[16];

	if (p->ext == NULL && read_record(dir, &json) == 0) {
		b = bundle_parse(json.data, json.len, true, e);
		if (b == NULL) {
			err_wrap(e, "bundle.json");
			goto out;
		}
	}
	if (b != NULL && b->runtime != NULL)
		goto out;
	ext = main_extension(dir, file);
	if (ext == NULL && b != NULL && b->entry != NULL && strrchr(b->entry, '.') != NULL)
		ext = strrchr(b->entry, '.') + 1;
	mime = ext != NULL ? mime_for(d, ext) : NULL;
	if (mime == NULL) {
		if (ext == NULL)
			err_named(e, ERR_INPUT, "InvalidBundle",
			    "the folder has neither bundle.json with a runtime nor main.ts, .mjs, .js or .py");
		else
			err_named(e, ERR_INPUT, "RuntimeNotOffered", "no runtime for .%s files is offered here", ext);
		bundle_free(b);
		b = NULL;
		goto out;
	}
	if (b != NULL) {
		b->runtime = mem_str(mime);
		goto out;
	}
	buf_reset(&json);
	buf_str(&json, "{\"runtime\":");
	buf_json_str(&json, mime);
	buf_str(&json, ",\"entry\":");
	buf_json_str(&json, file);
	buf_char(&json, '}');
	b = bundle_parse(json.data, json.len, true, e);
out:
	buf_clear(&json);
	return b;
}

/* A copy of its own: what runs does not change while its author types. */
static int
snapshot(const struct place *p, const char *dir, struct err *e)
{
	char *to;
	struct buf text = BUF_INIT;
	int from = -1, fd = -1, rc = -1;
	ssize_t n;

	bundle_remove(dir, NULL);
	if (p->ext == NULL)
		return bundle_place(p->path, dir, true, e);
	to = mem_fmt("%s/main.%s", dir, p->ext);
	from = open(p->path, O_RDONLY | O_CLOEXEC);
	if (from < 0 || mkdir(dir, 0700) != 0 || (fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) {
		err_errno(e, "copy %s", p->path);
		goto out;
	}
	while ((n = read(from, buf_room(&text, 65536), 65536)) > 0) {
		if (write(fd, text.data, (size_t)n) != n)
			break;
	}
	rc = n == 0 ? 0 : err_errno(e, "copy %s", p->path);
out:
	if (from >= 0)
		close(from);
	if (fd >= 0)
		close(fd);
	buf_clear(&text);
	free(to);
	return rc;
}

static struct code *
make_code(struct dev *d, const struct place *p, const char *name, const char *cid, struct err *e)
{
	struct code *k = mem_alloc(sizeof *k);

	k->refs = 1;
	k->local = true;
	k->cid = mem_str(cid);
	k->did = mem_str("local");
	k->name = mem_str(name);
	k->dir = mem_fmt("%s/dev/%s", d->conf->run_dir, cid);
	if (snapshot(p, k->dir, e) != 0 || (k->bundle = make_bundle(d, p, k->dir, e)) == NULL ||
	    catalog_settle(d->catalog, k, e) != 0) {
		code_unref(k);
		return NULL;
	}
	catalog_adopt(d->catalog, k);
	return k;
}

static int
version_ok(const struct code *k, const char *version, struct err *e)
{
	if (strcmp(version, "latest") == 0 || strcmp(version, k->cid) == 0 ||
	    (k->bundle->version != NULL && strcmp(version, k->bundle->version) == 0))
		return 0;
	return err_named(e, ERR_NOTFOUND, "BundleNotFound", "local bundle '%s' has no version '%s'", k->name, version);
}

struct code *
dev_find(struct dev *d, const char *name, const char *version, struct err *e)
{
	struct place p = { NULL, NULL };
	struct code *k;
	char cid[80];

	hear_changes(d);
	k = known_find(d, name);
	if (k != NULL)
		return version_ok(k, version, e) == 0 ? k : NULL;
	if (watch_root(d, e) != 0 || find_place(d, name, &p, e) != 0 || pseudo_cid(d, &p, name, cid, e) != 0)
		goto out;
	k = catalog_peek(d->catalog, cid);
	k = k != NULL ? code_ref(k) : make_code(d, &p, name, cid, e);
	if (k == NULL)
		goto out;
	known_add(d, name, k);
	code_unref(k); /* the catalog and the list of the known hold it */
	if (version_ok(k, version, e) != 0)
		k = NULL;
out:
	free(p.path);
	return k;
}
