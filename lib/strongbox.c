#include "lib/strongbox.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/age.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"

#define MAGIC      "at-rund vault 1\n"
#define MAGIC_N    16
#define PIECE      65536
#define OVER       crypto_secretstream_xchacha20poly1305_ABYTES
#define AGE_OVER   crypto_aead_chacha20poly1305_ietf_ABYTES
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
	enum strongbox_kind kind;
	bool ended;
	crypto_secretstream_xchacha20poly1305_state state;
	uint8_t key[AGE_KEY]; /* age */
	uint64_t count;       /* age: pieces so far */
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
	v->kind = passphrase != NULL ? STRONGBOX_PASSPHRASE : STRONGBOX_PLAIN;
	if (passphrase == NULL)
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

/* ---- age ---- */

static void
age_start(struct strongbox *v, uint8_t file_key[AGE_FILE_KEY], const uint8_t nonce[AGE_NONCE])
{
	v->kind = STRONGBOX_AGE;
	age_stream_key(file_key, nonce, v->key);
	sodium_memzero(file_key, AGE_FILE_KEY);
}

/* A count of eleven bytes, the highest first, and whether it is the last. */
static void
age_nonce(struct strongbox *v, bool last, uint8_t nonce[12])
{
	memset(nonce, 0, 12);
	for (int i = 0; i < 8; i++)
		nonce[10 - i] = (uint8_t)(v->count >> (8 * i));
	nonce[11] = last;
}

struct strongbox *
strongbox_seal_for(int fd, const struct age_keys *recipients, struct err *e)
{
	struct strongbox *v = mem_alloc(sizeof *v);
	uint8_t file_key[AGE_FILE_KEY], nonce[AGE_NONCE];
	struct buf head = BUF_INIT;
	int rc;

	v->fd = fd;
	rc = age_head_make(recipients, file_key, &head, e);
	randombytes_buf(nonce, sizeof nonce);
	buf_add(&head, nonce, sizeof nonce);
	age_start(v, file_key, nonce);
	if (rc == 0)
		rc = write_all(fd, head.data, head.len, e);
	buf_clear(&head);
	if (rc == 0)
		return v;
	strongbox_free(v);
	return NULL;
}

static int
age_wrong(struct err *e)
{
	return err_set(e, ERR_INPUT, "the file was cut or changed");
}

/* Up to the end of the line of the MAC, a byte at a time: what follows is not ours to take. */
static int
age_read_head(int fd, struct buf *head, struct err *e)
{
	size_t last = 0; /* where the line of the MAC begins */
	char c;

	while (head->len < AGE_HEAD_MAX) {
		ssize_t n = read_all(fd, &c, 1, e);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		buf_char(head, c);
		if (head->len >= sizeof AGE_END - 1 && memcmp(head->data + head->len - (sizeof AGE_END - 1), AGE_END, sizeof AGE_END - 1) == 0)
			last = head->len;
		if (c == '\n' && last > 0 && head->len > last)
			return 0;
	}
	return age_wrong(e);
}

struct strongbox *
strongbox_open_with(int fd, const struct age_keys *identities, struct err *e)
{
	struct strongbox *v = mem_alloc(sizeof *v);
	uint8_t file_key[AGE_FILE_KEY], nonce[AGE_NONCE];
	struct buf head = BUF_INIT;
	int rc = age_read_head(fd, &head, e);

	v->fd = fd;
	if (rc == 0)
		rc = age_head_open(head.data, head.len, identities, file_key, e);
	if (rc == 0 && read_all(fd, nonce, sizeof nonce, e) != (ssize_t)sizeof nonce)
		rc = e->kind == ERR_NONE ? age_wrong(e) : -1;
	if (rc == 0)
		age_start(v, file_key, nonce);
	buf_clear(&head);
	if (rc == 0)
		return v;
	strongbox_free(v);
	return NULL;
}

static int
age_push(struct strongbox *v, bool last, struct err *e)
{
	unsigned char out[PIECE + AGE_OVER];
	unsigned long long n;
	uint8_t nonce[12];

	age_nonce(v, last, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, &n, v->piece, v->n, NULL, 0, NULL, nonce, v->key);
	v->count++;
	v->n = 0;
	return write_all(v->fd, out, (size_t)n, e);
}

/* A piece that is not the last is whole, and only the first may be empty; what is shorter, or the end of the file, was the last. */
static int
age_pull(struct strongbox *v, struct err *e)
{
	ssize_t n = read_all(v->fd, v->piece, PIECE + AGE_OVER, e);
	unsigned long long text = 0;
	uint8_t nonce[12], more;
	bool last;

	if (n < 0)
		return -1;
	last = n < PIECE + (ssize_t)AGE_OVER;
	for (int i = 0; i < 2; i++, last = true) {
		age_nonce(v, last, nonce);
		if (n >= (ssize_t)AGE_OVER &&
		    crypto_aead_chacha20poly1305_ietf_decrypt(v->text, &text, NULL, v->piece, (size_t)n, NULL, 0, nonce, v->key) == 0) {
			if (last && ((text == 0 && v->count > 0) || read(v->fd, &more, 1) > 0))
				return age_wrong(e);
			v->n = (size_t)text;
			v->at = 0;
			v->ended = last;
			v->count++;
			return 0;
		}
		if (last)
			break;
	}
	return age_wrong(e);
}

/* ---- the stream ---- */

static int
push(struct strongbox *v, unsigned char tag, struct err *e)
{
	unsigned char out[PIECE + OVER];
	unsigned long long n;

	if (v->kind == STRONGBOX_AGE)
		return age_push(v, tag == TAG_FINAL, e);
	crypto_secretstream_xchacha20poly1305_push(&v->state, out, &n, v->piece, v->n, NULL, 0, tag);
	v->n = 0;
	return write_all(v->fd, out, (size_t)n, e);
}

int
strongbox_write(struct strongbox *v, const void *p, size_t n, struct err *e)
{
	const unsigned char *s = p;

	if (v->kind == STRONGBOX_PLAIN)
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
	if (v->kind != STRONGBOX_PLAIN && push(v, TAG_FINAL, e) != 0)
		return -1;
	return fsync(v->fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : err_errno(e, "write");
}

enum strongbox_kind
strongbox_kind(int fd)
{
	char magic[AGE_MAGIC_N];
	ssize_t n = pread(fd, magic, sizeof magic, 0);

	return n >= MAGIC_N && memcmp(magic, MAGIC, MAGIC_N) == 0 ? STRONGBOX_PASSPHRASE :
	    n == AGE_MAGIC_N && memcmp(magic, AGE_MAGIC, AGE_MAGIC_N) == 0 ? STRONGBOX_AGE : STRONGBOX_PLAIN;
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
	v->kind = passphrase != NULL ? STRONGBOX_PASSPHRASE : STRONGBOX_PLAIN;
	if (passphrase == NULL)
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
	if (v->kind == STRONGBOX_PLAIN)
		return read_all(v->fd, p, n, e);
	while (v->at == v->n) {
		if (v->ended)
			return 0;
		if ((v->kind == STRONGBOX_AGE ? age_pull(v, e) : pull(v, e)) != 0)
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
