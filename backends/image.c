#include "backends/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"

#define STATE_MAX (256 << 10)

char *
image_dir(const struct conf *c, const char *runtime)
{
	return mem_fmt("%s/images/%s", c->home, runtime);
}

static void
add_list(struct buf *b, const char *name, const struct conf_list *l)
{
	buf_fmt(b, "%s:", name);
	for (size_t i = 0; i < l->n; i++)
		buf_json_str(b, l->item[i]);
	buf_char(b, '\n');
}

bool
image_with_nix(const struct conf *c, const struct runtime *r)
{
	return c->build.nixpkgs != NULL && r->nix.n > 0;
}

void
image_key(const struct conf *c, const struct runtime *r, struct buf *out)
{
	char text[CID_TEXT + 1];
	struct buf b = BUF_INIT;
	struct cid hash;

	buf_fmt(&b, "format:%d\ncommand:%s\nscripts:%d\n", IMAGE_FORMAT, r->command != NULL ? r->command : "", r->scripts);
	add_list(&b, "debian", &r->debian);
	add_list(&b, "npm", &r->npm);
	add_list(&b, "nix", &r->nix);
	add_list(&b, "prepare", &r->prepare);
	if (image_with_nix(c, r))
		buf_fmt(&b, "nixpkgs:%s\n", c->build.nixpkgs);
	cid_of_bytes(&hash, CID_RAW, b.data, b.len);
	cid_print(&hash, text);
	buf_str(out, text);
	buf_clear(&b);
}

static int
read_state(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return err_errno(e, "open %s", path);
	n = read(fd, buf_room(out, STATE_MAX), STATE_MAX);
	close(fd);
	if (n < 0)
		return err_errno(e, "read %s", path);
	out->len += (size_t)n;
	return 0;
}

static int
parse_state(struct image *m, const char *path, const struct buf *text, struct err *e)
{
	cJSON *tree = json_parse(text->data, text->len, JSON_DEPTH, e);
	const char *id = json_string(tree, "image"), *key = json_string(tree, "key"), *program = json_string(tree, "program");
	int rc = -1;

	if (tree == NULL)
		goto out;
	if (id == NULL || strlen(id) != 71 || strncmp(id, "sha256:", 7) != 0 || strspn(id + 7, "0123456789abcdef") != 64 ||
	    key == NULL || program == NULL || program[0] != '/') {
		err_set(e, ERR_INPUT, "image, key or program is not as `at-rund build` writes it");
		goto out;
	}
	if (json_int(tree, "built", 0, INT64_MAX >> 10, &m->built_ms, e) != 0 ||
	    json_int(tree, "bytes", 0, INT64_MAX >> 10, &m->bytes, e) != 0)
		goto out;
	m->id = mem_str(id);
	m->key = mem_str(key);
	m->program = mem_str(program);
	m->version = mem_str(json_string(tree, "version"));
	rc = 0;
out:
	cJSON_Delete(tree);
	return rc == 0 ? 0 : err_wrap(e, "%s", path);
}

int
image_load(struct image *m, const struct conf *c, const char *runtime, struct err *e)
{
	char *dir = image_dir(c, runtime), *path = mem_fmt("%s/image.json", dir);
	struct buf text = BUF_INIT;
	int rc = -1;

	*m = (struct image){ .root = mem_fmt("%s/root", dir) };
	if (access(path, F_OK) != 0)
		err_set(e, ERR_NOTFOUND, "runtime %s has no image here: at-rund build --runtime %s", runtime, runtime);
	else if (read_state(path, &text, e) == 0)
		rc = parse_state(m, path, &text, e);
	if (rc != 0)
		image_clear(m);
	buf_clear(&text);
	free(path);
	free(dir);
	return rc;
}

void
image_clear(struct image *m)
{
	free(m->id);
	free(m->key);
	free(m->program);
	free(m->version);
	free(m->root);
	*m = (struct image){ 0 };
}
