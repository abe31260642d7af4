#include "lib/strongbox.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"

#define MAGIC      "at-rund vault 1\n"
#define MAGIC_N    16
#define PIECE      65536
#define OVER       crypto_secretstream_xchacha20poly1305_ABYTES
#define TAG_FINAL  crypto_secretstream_xchacha20poly1305_TAG_FINAL
#define OPS        crypto_pwhash_OPSLIMIT_MODERATE
#define MEMORY     crypto_pwhash_MEMLIMIT_INTERACTIVE /* 64 MiB: a small VPS has it */
#define OPS_MAX    16
#define MEMORY_MAX (1024u << 20)

struct head {
	unsigned char magic[MAGIC_N], salt[crypto_pwhash_SALTBYTES], ops[8], memory[8],
	    stream[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
};

struct strongbox {
	int fd;
	bool sealed, ended;
	crypto_secretstream_xchacha20poly1305_state state;
	unsigned char piece[PIECE + OVER]; /* writing: text that waits; reading: a piece as it was read */
	unsigned char text[PIECE];         /* reading: opened */
	size_t n, at;
};

static void
put64(unsigned char out[8], unsigned long long n)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(n >> (8 * i));
}

static unsigned long long
get64(const unsigned char in[8])
{
	unsigned long long n = 0;

	for (int i = 7; i >= 0; i--)
		n = n << 8 | in[i];
	return n;
}

static int
write_all(int fd, const void *p, size_t n, struct err *e)
{
	const char *s = p;

	while (n > 0) {
		ssize_t w = write(fd, s, n);

		if (w < 0 && errno != EINTR)
			return err_errno(e, "write");
		s += w > 0 ? w : 0;
		n -= w > 0 ? (size_t)w : 0;
	}
	return 0;
}

/* As many bytes as there are, up to n; -1. */
static ssize_t
read_all(int fd, void *p, size_t n, struct err *e)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)p + got, n - got);

		if (r == 0)
			break;
		if (r < 0 && errno != EINTR)
			return err_errno(e, "read");
		got += r > 0 ? (size_t)r : 0;
	}
	return (ssize_t)got;
}

static int
make_key(unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES], const char *passphrase, const struct head *h,
    struct err *e)
{
	unsigned long long ops = get64(h->ops), memory = get64(h->memory);

	if (ops < 1 || ops > OPS_MAX || memory < crypto_pwhash_MEMLIMIT_MIN || memory > MEMORY_MAX)
		return err_set(e, ERR_INPUT, "the head of the file asks for work that no version of ours asks for");
	if (crypto_pwhash(key, crypto_secretstream_xchacha20poly1305_KEYBYTES, passphrase, strlen(passphrase), h->salt, ops,
	    (size_t)memory, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return err_set(e, ERR_INTERNAL, "not enough memory to turn the passphrase into a key (%llu MiB)", memory >> 20);
	return 0;
}

struct strongbox *
strongbox_seal(int fd, const char *passphrase, struct err *e)
{
	unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
	struct strongbox *v = mem_alloc(sizeof *v);
	struct head h;

	v->fd = fd;
	v->sealed = passphrase != NULL;
	if (!v->sealed)
		return v;
	if (sodium_init() < 0)
		abort();
	memcpy(h.magic, MAGIC, MAGIC_N);
	randombytes_buf(h.salt, sizeof h.salt);
	put64(h.ops, OPS);
	put64(h.memory, MEMORY);
	if (make_key(key, passphrase, &h, e) == 0) {
		crypto_secretstream_xchacha20poly1305_init_push(&v->state, h.stream, key);
		if (write_all(fd, &h, sizeof h, e) == 0) {
			sodium_memzero(key, sizeof key);
			return v;
		}
	}
	sodium_memzero(key, sizeof key);
	strongbox_free(v);
	return NULL;
}

static int
push(struct strongbox *v, unsigned char tag, struct err *e)
{
	unsigned char out[PIECE + OVER];
	unsigned long long n;

	crypto_secretstream_xchacha20poly1305_push(&v->state, out, &n, v->piece, v->n, NULL, 0, tag);
	v->n = 0;
	return write_all(v->fd, out, (size_t)n, e);
}

int
strongbox_write(struct strongbox *v, const void *p, size_t n, struct err *e)
{
	const unsigned char *s = p;

	if (!v->sealed)
		return write_all(v->fd, p, n, e);
	while (n > 0) {
		size_t part = n < PIECE - v->n ? n : PIECE - v->n;

		memcpy(v->piece + v->n, s, part);
		v->n += part;
		s += part;
		n -= part;
		if (v->n == PIECE && n > 0 && push(v, 0, e) != 0)
			return -1;
	}
	return 0;
}

int
strongbox_finish(struct strongbox *v, struct err *e)
{
	if (v->sealed && push(v, TAG_FINAL, e) != 0)
		return -1;
	return fsync(v->fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : err_errno(e, "write");
}

bool
strongbox_is_sealed(int fd)
{
	char magic[MAGIC_N];

	return pread(fd, magic, MAGIC_N, 0) == MAGIC_N && memcmp(magic, MAGIC, MAGIC_N) == 0;
}

static int
wrong(struct err *e)
{
	return err_named(e, ERR_DENIED, "WrongPassphrase", "the passphrase is wrong, or the file was cut or changed");
}

struct strongbox *
strongbox_open(int fd, const char *passphrase, struct err *e)
{
	unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
	struct strongbox *v = mem_alloc(sizeof *v);
	struct head h;
	int rc;

	v->fd = fd;
	v->sealed = passphrase != NULL;
	if (!v->sealed)
		return v;
	if (sodium_init() < 0)
		abort();
	rc = read_all(fd, &h, sizeof h, e) == (ssize_t)sizeof h && memcmp(h.magic, MAGIC, MAGIC_N) == 0 ? 0 : wrong(e);
	if (rc == 0)
		rc = make_key(key, passphrase, &h, e);
	if (rc == 0 && crypto_secretstream_xchacha20poly1305_init_pull(&v->state, h.stream, key) != 0)
		rc = wrong(e);
	sodium_memzero(key, sizeof key);
	if (rc == 0)
		return v;
	strongbox_free(v);
	return NULL;
}

static int
pull(struct strongbox *v, struct err *e)
{
	ssize_t n = read_all(v->fd, v->piece, sizeof v->piece, e);
	unsigned long long text = 0;
	unsigned char tag = 0, more;

	if (n < 0)
		return -1;
	if ((size_t)n < OVER ||
	    crypto_secretstream_xchacha20poly1305_pull(&v->state, v->text, &text, &tag, v->piece, (size_t)n, NULL, 0) != 0)
		return wrong(e);
	v->n = (size_t)text;
	v->at = 0;
	v->ended = tag == TAG_FINAL;
	return v->ended && read(v->fd, &more, 1) > 0 ? wrong(e) : 0;
}

ssize_t
strongbox_read(struct strongbox *v, void *p, size_t n, struct err *e)
{
	if (!v->sealed)
		return read_all(v->fd, p, n, e);
	while (v->at == v->n) {
		if (v->ended)
			return 0;
		if (pull(v, e) != 0)
			return -1;
	}
	if (n > v->n - v->at)
		n = v->n - v->at;
	memcpy(p, v->text + v->at, n);
	v->at += n;
	return (ssize_t)n;
}

void
strongbox_free(struct strongbox *v)
{
	if (v != NULL)
		sodium_memzero(v, sizeof *v);
	free(v);
}

void
strongbox_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}
