/*
 * The archive is an OCI layout and a `docker save` at once: the same blobs, told by index.json and by manifest.json.  Nothing in
 * it depends on when, where or by whom it was made.
 */
#include "cli/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/err.h"

#define BLOCK 512
#define PIECE (256 << 10)
#define HEX   64

#if defined __aarch64__
#define ARCHITECTURE "arm64"
#elif defined __x86_64__
#define ARCHITECTURE "amd64"
#elif defined __riscv
#define ARCHITECTURE "riscv64"
#elif defined __arm__
#define ARCHITECTURE "arm"
#elif defined __s390x__
#define ARCHITECTURE "s390x"
#else
#define ARCHITECTURE "ppc64le"
#endif

static void
hex_of(const struct cid *c, char out[HEX + 1])
{
	size_t i;

	for (i = 0; i < sizeof c->digest; i++)
		snprintf(out + 2 * i, 3, "%02x", c->digest[i]);
}

static void
hex_of_text(const struct buf *b, char out[HEX + 1])
{
	struct cid c;

	cid_of_bytes(&c, CID_RAW, b->data, b->len);
	hex_of(&c, out);
}

/* Reads the file from its start; to each piece: into the hash, and to fd when that is one. */
static int
run_through(int from, struct cid_hash *h, int to, int64_t *bytes, struct err *e)
{
	static char piece[PIECE];
	ssize_t n;

	*bytes = 0;
	if (lseek(from, 0, SEEK_SET) != 0)
		return err_errno(e, "read the layer");
	while ((n = read(from, piece, sizeof piece)) > 0) {
		if (h != NULL)
			cid_hash_update(h, piece, (size_t)n);
		if (to >= 0 && write(to, piece, (size_t)n) != n)
			return err_errno(e, "write the image");
		*bytes += n;
	}
	return n == 0 ? 0 : err_errno(e, "read the layer");
}

/* --- tar --- */

static int
put_head(int fd, const char *name, int64_t size, int64_t date, struct err *e)
{
	char h[BLOCK] = { 0 };
	unsigned sum = 0;
	size_t i;

	snprintf(h, 100, "%s", name);
	snprintf(h + 100, 8, "0000644");
	snprintf(h + 108, 8, "0000000");
	snprintf(h + 116, 8, "0000000");
	snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
	snprintf(h + 136, 12, "%011llo", (unsigned long long)date);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, "ustar\00000", 8);
	for (i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 7, "%06o", sum & 0777777);
	return write(fd, h, BLOCK) == BLOCK ? 0 : err_errno(e, "write the image");
}

static int
put_fill(int fd, int64_t size, struct err *e)
{
	static const char zero[BLOCK];
	size_t n = (size_t)((BLOCK - size % BLOCK) % BLOCK);

	return write(fd, zero, n) == (ssize_t)n ? 0 : err_errno(e, "write the image");
}

static int
put_text(int fd, const char *name, const struct buf *b, int64_t date, struct err *e)
{
	if (put_head(fd, name, (int64_t)b->len, date, e) != 0)
		return -1;
	if (write(fd, b->data, b->len) != (ssize_t)b->len)
		return err_errno(e, "write the image");
	return put_fill(fd, (int64_t)b->len, e);
}

static int
put_blob(int fd, const char *hex, const struct buf *b, int64_t date, struct err *e)
{
	char name[HEX + 16];

	snprintf(name, sizeof name, "blobs/sha256/%s", hex);
	return put_text(fd, name, b, date, e);
}

/* --- what an image says of itself --- */

struct parts {
	struct buf config, manifest, index, docker, layout;
	char layer[HEX + 1], config_hex[HEX + 1], manifest_hex[HEX + 1];
	int64_t bytes;
};

static void
make_config(const struct oci *o, struct parts *p)
{
	time_t t = (time_t)o->date;
	char date[40];
	struct tm tm;

	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	buf_fmt(&p->config, "{\"created\":\"%s\",\"architecture\":\"" ARCHITECTURE "\",\"os\":\"linux\",\"config\":{\"Labels\":"
	    "{\"at-rund.runtime\":\"%s\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]},\"history\":"
	    "[{\"created\":\"%s\",\"created_by\":\"at-rund build\"}]}", date, o->runtime, p->layer, date);
	hex_of_text(&p->config, p->config_hex);
}

static void
make_manifests(const struct oci *o, struct parts *p)
{
	buf_fmt(&p->manifest, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":"
	    "{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\",\"size\":%zu},\"layers\":"
	    "[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%s\",\"size\":%lld}]}", p->config_hex,
	    p->config.len, p->layer, (long long)p->bytes);
	hex_of_text(&p->manifest, p->manifest_hex);
	buf_fmt(&p->index, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
	    "\"digest\":\"sha256:%s\",\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s:%.12s\"}}]}",
	    p->manifest_hex, p->manifest.len, o->name, p->config_hex);
	buf_fmt(&p->docker, "[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[\"%s:%.12s\"],\"Layers\":[\"blobs/sha256/%s\"]}]",
	    p->config_hex, o->name, p->config_hex, p->layer);
	buf_str(&p->layout, "{\"imageLayoutVersion\":\"1.0.0\"}");
}

static int
put_all(int fd, int layer, const struct parts *p, int64_t date, struct err *e)
{
	char name[HEX + 16];
	struct buf end = BUF_INIT;
	int64_t bytes;
	int rc = -1;

	snprintf(name, sizeof name, "blobs/sha256/%s", p->layer);
	if (put_text(fd, "oci-layout", &p->layout, date, e) != 0 || put_text(fd, "index.json", &p->index, date, e) != 0 ||
	    put_text(fd, "manifest.json", &p->docker, date, e) != 0 ||
	    put_blob(fd, p->config_hex, &p->config, date, e) != 0 ||
	    put_blob(fd, p->manifest_hex, &p->manifest, date, e) != 0 || put_head(fd, name, p->bytes, date, e) != 0 ||
	    run_through(layer, NULL, fd, &bytes, e) != 0 || put_fill(fd, bytes, e) != 0)
		goto out;
	memset(buf_room(&end, 2 * BLOCK), 0, 2 * BLOCK);
	rc = write(fd, end.data, 2 * BLOCK) == 2 * BLOCK ? 0 : err_errno(e, "write the image");
	if (rc == 0 && bytes != p->bytes)
		rc = err_set(e, ERR_INTERNAL, "the layer changed while it was read");
out:
	buf_clear(&end);
	return rc;
}

int
oci_write(const struct oci *o, const char *to, char id[OCI_ID_LEN + 1], int64_t *bytes, struct err *e)
{
	struct parts p = { .bytes = 0 };
	struct cid_hash h;
	struct cid c;
	int layer = open(o->layer, O_RDONLY | O_CLOEXEC), fd = -1, rc = -1;

	if (layer < 0) {
		err_errno(e, "open %s", o->layer);
		goto out;
	}
	cid_hash_init(&h);
	if (run_through(layer, &h, -1, &p.bytes, e) != 0)
		goto out;
	cid_hash_final(&h, CID_RAW, &c);
	hex_of(&c, p.layer);
	make_config(o, &p);
	make_manifests(o, &p);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		err_errno(e, "create %s", to);
		goto out;
	}
	if (put_all(fd, layer, &p, o->date, e) != 0)
		goto out;
	snprintf(id, OCI_ID_LEN + 1, "sha256:%s", p.config_hex);
	*bytes = p.bytes;
	rc = 0;
out:
	if (layer >= 0)
		close(layer);
	if (fd >= 0)
		close(fd);
	buf_clear(&p.config);
	buf_clear(&p.manifest);
	buf_clear(&p.index);
	buf_clear(&p.docker);
	buf_clear(&p.layout);
	return rc;
}
