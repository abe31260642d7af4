/*
 * What it costs to believe: the whole proof of a record, and a token, beside one verification of a signature.
 *
 *     trust_bench measure CURVE             {"verify":us,"proof":[[nodes,us],...],"token":us}, medians
 *     trust_bench key CURVE                 publicKeyMultibase of the key that signs
 *     trust_bench tokens CURVE N AUD ISS    N tokens, valid for half an hour
 *
 * CURVE is K-256 or P-256.  Paths are made of nodes with as many entries as honest trees have, for as many levels as keys are
 * found for in a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/mst.h"
#include "lib/multibase.h"
#include "lib/proof.h"
#include "tests/repo.h"

#define DID        "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define COLLECTION "dev.at-run.bundle"
#define KEY        COLLECTION "/hello"
#define REV        "3lonbndhf722s"
#define LEVELS     11
#define ROUNDS     301

static const uint8_t secret[32] = { 11, 22, 33, 44, 55, 66, 77, 88, 99, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	17, 18, 19, 20, 21, 22, 23 };

/* --- a path --- */

static void
link_or_null(struct buf *out, const char *name, const struct cid *c)
{
	cbor_put_text(out, name, 1);
	if (c != NULL)
		cbor_put_link(out, c);
	else
		cbor_put_null(out);
}

static void
put_entry(struct buf *out, const char *key, size_t shared, const struct cid *value)
{
	cbor_put_map(out, 4);
	cbor_put_text(out, "k", 1);
	cbor_put_bytes(out, key + shared, strlen(key) - shared);
	cbor_put_text(out, "p", 1);
	cbor_put_number(out, (int64_t)shared);
	link_or_null(out, "t", NULL);
	link_or_null(out, "v", value);
}

/* A node of this level to the right of all below: its keys begin with a letter of their own. */
static struct cid
level_add(struct repo_blocks *blocks, int level, const struct cid *left, const struct cid *value)
{
	struct buf entries = BUF_INIT, node = BUF_INIT;
	int found = 0, wanted = level < 8 ? 4 : 1;
	char key[64], last[64] = "";
	struct cid made;
	unsigned i;

	if (level == 0) {
		snprintf(last, sizeof last, "%s", KEY);
		put_entry(&entries, KEY, 0, value);
		found = wanted = 1;
	}
	for (i = 0; found < wanted; i++) {
		snprintf(key, sizeof key, COLLECTION "/x%c%09u", 'a' + level, i);
		if (mst_key_depth(key, strlen(key)) != level)
			continue;
		put_entry(&entries, key, mst_prefix(last, strlen(last), key, strlen(key)), value);
		memcpy(last, key, sizeof last);
		found++;
	}
	cbor_put_map(&node, 2);
	cbor_put_text(&node, "e", 1);
	cbor_put_list(&node, (size_t)found);
	buf_add(&node, entries.data, entries.len);
	link_or_null(&node, "l", left);
	made = repo_block_add(blocks, node.data, node.len);
	buf_clear(&entries);
	buf_clear(&node);
	return made;
}

static void
make_car(enum key_curve curve, int levels, struct buf *car)
{
	struct repo_blocks blocks = REPO_BLOCKS_INIT;
	struct repo_commit commit = { .did = DID, .rev = REV, .curve = curve, .secret = secret };
	struct buf record = BUF_INIT;
	struct cid value, node, top;
	int i;

	cbor_put_map(&record, 1);
	cbor_put_text(&record, "name", 4);
	cbor_put_text(&record, "hello", 5);
	value = repo_block_add(&blocks, record.data, record.len);
	node = level_add(&blocks, 0, NULL, &value);
	for (i = 1; i < levels; i++)
		node = level_add(&blocks, i, &node, &value);
	commit.root = node;
	top = repo_commit_add(&blocks, &commit);
	repo_car(&blocks, &top, NULL, car);
	repo_blocks_clear(&blocks);
	buf_clear(&record);
}

/* --- times --- */

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static double
median_us(void (*fn)(void *arg), void *arg)
{
	static int64_t us[ROUNDS];
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		int64_t start = clock_mono_us();

		for (k = 0; k < 10; k++)
			fn(arg);
		us[i] = clock_mono_us() - start;
	}
	qsort(us, ROUNDS, sizeof us[0], by_size);
	return (double)us[ROUNDS / 2] / 10;
}

struct subject {
	struct key key;
	const char *text;
	size_t n;
	uint8_t sig[KEY_SIGNATURE_BYTES];
	struct buf car;
};

static void
must(int rc, const struct err *e)
{
	if (rc == 0)
		return;
	fprintf(stderr, "trust_bench: %s\n", e->text);
	exit(1);
}

static void
verify(void *arg)
{
	struct subject *s = arg;
	struct err e = ERR_INIT;

	must(key_verify(&s->key, s->text, s->n, s->sig, sizeof s->sig, true, &e), &e);
}

static void
prove(void *arg)
{
	struct subject *s = arg;
	struct proof_ask ask = { .did = DID, .collection = COLLECTION, .rkey = "hello", .key = &s->key, .last_rev = REV };
	struct err e = ERR_INIT;
	struct proof p;

	must(proof_record(&ask, (const uint8_t *)s->car.data, s->car.len, &p, &e), &e);
}

static void
believe(void *arg)
{
	struct subject *s = arg;
	struct err e = ERR_INIT;
	struct jwt t;

	must(jwt_parse(&t, s->text, strlen(s->text), &e), &e);
	must(jwt_check(&t, DID, "#at_run", "dev.at-run.invoke", clock_wall_ms() / 1000, &e), &e);
	must(key_verify(&s->key, s->text, t.signed_n, t.signature, sizeof t.signature, true, &e), &e);
	jwt_clear(&t);
}

/* --- tokens --- */

static void
add_part(struct buf *out, const void *p, size_t n)
{
	size_t from = out->len;

	base64_print(p, n, out);
	for (; from < out->len; from++)
		out->data[from] = out->data[from] == '+' ? '-' : out->data[from] == '/' ? '_' : out->data[from];
}

static char *
token(enum key_curve curve, const char *aud, const char *iss, unsigned n)
{
	long long now = clock_wall_ms() / 1000;
	char *head = mem_fmt("{\"typ\":\"JWT\",\"alg\":\"%s\"}", key_curve_alg(curve));
	char *claims = mem_fmt("{\"iat\":%lld,\"iss\":\"%s\",\"aud\":\"%s\",\"exp\":%lld,\"lxm\":\"dev.at-run.invoke\","
	    "\"jti\":\"%lld-%08u-0123456789abcdef\"}", now, iss, aud, now + 1800, (long long)clock_mono_us(), n);
	uint8_t sig[KEY_SIGNATURE_BYTES];
	struct buf out = BUF_INIT;

	add_part(&out, head, strlen(head));
	buf_char(&out, '.');
	add_part(&out, claims, strlen(claims));
	repo_sign(curve, secret, out.data, out.len, false, sig);
	buf_char(&out, '.');
	add_part(&out, sig, sizeof sig);
	free(head);
	free(claims);
	return buf_take(&out);
}

static void
measure(enum key_curve curve)
{
	static const int levels[] = { 1, 6, LEVELS };
	struct subject s = { .text = NULL };
	char *text = token(curve, DID, DID, 0);
	size_t i;

	repo_key(curve, secret, &s.key);
	s.text = text;
	s.n = (size_t)(strrchr(text, '.') - text);
	repo_sign(curve, secret, s.text, s.n, false, s.sig);
	printf("{\"verify\":%.2f,\"proof\":[", median_us(verify, &s));
	for (i = 0; i < sizeof levels / sizeof *levels; i++) {
		make_car(curve, levels[i], &s.car);
		printf("%s[%d,%.2f]", i > 0 ? "," : "", levels[i], median_us(prove, &s));
		buf_clear(&s.car);
	}
	printf("],\"token\":%.2f}\n", median_us(believe, &s));
	free(text);
}

int
main(int argc, char **argv)
{
	enum key_curve curve = argc > 2 && strcmp(argv[2], "P-256") == 0 ? KEY_P256 : KEY_K256;
	char did[KEY_DID_TEXT + 1];
	struct key key;
	long i, n;

	if (argc == 3 && strcmp(argv[1], "measure") == 0) {
		measure(curve);
	} else if (argc == 3 && strcmp(argv[1], "key") == 0) {
		repo_key(curve, secret, &key);
		key_print_did(&key, did);
		printf("%s\n", did + strlen(KEY_DID_PREFIX));
	} else if (argc == 6 && strcmp(argv[1], "tokens") == 0) {
		for (i = 0, n = strtol(argv[3], NULL, 10); i < n; i++) {
			char *text = token(curve, argv[4], argv[5], (unsigned)i);

			puts(text);
			free(text);
		}
	} else {
		fprintf(stderr, "usage: trust_bench measure|key CURVE | tokens CURVE N AUD ISS\n");
		return 64;
	}
	return 0;
}
