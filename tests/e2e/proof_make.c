/*
 * What a PDS answers to com.atproto.sync.getRecord, made by hand, so that a test server can also lie.
 *
 *     proof_make key [CURVE]                                  the public key as a Multikey
 *     proof_make car DID COLLECTION RKEY REV LIE [CURVE]      the record as JSON on standard input, the CAR on output
 *     proof_make lies                                         "LIE NAME-OF-THE-ERROR" a line; "-" means it is proven
 *
 * CURVE is K-256 (the default) or P-256.  The secret key is known to everybody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/repo.h"

#define OTHERS 200 /* records around the one asked for: a tree of several levels */

static const uint8_t secret[32] = { 42, 1 }, other_secret[32] = { 42, 2 };

struct made {
	struct repo_blocks blocks;
	struct repo_commit commit;
	struct repo_leaf leaves[OTHERS + 1];
	size_t n;             /* leaves */
	struct cid record, root; /* the root that the CAR names: a commit */
	const struct cid *but;   /* the block that is left out */
	struct buf car;          /* when it is not made of the blocks */
};

static void
die(const char *what)
{
	fprintf(stderr, "proof_make: %s\n", what);
	exit(2);
}

/* --- lies about the commit: before it is made --- */

static void
high_s(struct made *m)
{
	m->commit.high_s = true;
}

static void
der(struct made *m)
{
	m->commit.der = true;
}

static void
other_key(struct made *m)
{
	m->commit.secret = other_secret;
}

static void
other_curve(struct made *m)
{
	m->commit.curve = m->commit.curve == KEY_P256 ? KEY_K256 : KEY_P256;
}

static void
other_author(struct made *m)
{
	m->commit.did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
}

static void
old_rev(struct made *m)
{
	m->commit.rev = "3222222222222";
}

static void
future_rev(struct made *m)
{
	m->commit.rev = "jzzzzzzzzzzzz";
}

static void
bad_rev(struct made *m)
{
	m->commit.rev = "tomorrow";
}

static void
version_2(struct made *m)
{
	m->commit.version = 2;
}

/* The tree does not hold the record, whose block is there all the same. */
static void
absent(struct made *m)
{
	m->n--;
}

/* The key leads to another record's block. */
static void
another_record(struct made *m)
{
	m->leaves[OTHERS].value = repo_block_add(&m->blocks, "\xa1" "aa\x02", 4);
}

static void
deep(struct made *m)
{
	char bytes[100];

	memset(bytes, 0x81, sizeof bytes - 1);
	bytes[sizeof bytes - 1] = (char)0x80;
	m->leaves[OTHERS].value = repo_block_add(&m->blocks, bytes, sizeof bytes);
}

/* --- lies about the blocks: afterwards --- */

static const struct cid *
last_block(const struct made *m)
{
	return &m->blocks.block[m->blocks.n - 1].id; /* the commit */
}

static void
no_commit(struct made *m)
{
	m->but = last_block(m);
}

static void
no_root_node(struct made *m)
{
	m->but = &m->commit.root;
}

static void
no_record(struct made *m)
{
	m->but = &m->record;
}

static void
wrong_root(struct made *m)
{
	m->root = m->record;
}

static void
root_of_nowhere(struct made *m)
{
	cid_of_bytes(&m->root, CID_DAG_CBOR, "nowhere", 7);
}

static void
flip(struct made *m, const struct cid *id)
{
	size_t i;

	for (i = 0; i < m->blocks.n; i++)
		if (cid_equal(&m->blocks.block[i].id, id)) {
			struct buf *b = &m->blocks.block[i].bytes;

			b->data[b->len / 2] ^= 1;
		}
}

static void
flipped_commit(struct made *m)
{
	flip(m, last_block(m));
}

static void
flipped_node(struct made *m)
{
	flip(m, &m->commit.root);
}

static void
flipped_record(struct made *m)
{
	flip(m, &m->record);
}

static void
extra_blocks(struct made *m)
{
	uint32_t i;

	for (i = 0; i < 50; i++)
		repo_block_add(&m->blocks, &i, sizeof i);
}

static void
twice(struct made *m)
{
	size_t i, n = m->blocks.n;

	for (i = n; i-- > 0;)
		repo_block_add(&m->blocks, m->blocks.block[i].bytes.data, m->blocks.block[i].bytes.len);
}

static void
endless_varint(struct made *m)
{
	repo_car(&m->blocks, &m->root, NULL, &m->car);
	memset(buf_room(&m->car, 64), 0xff, 64);
	m->car.len += 64;
}

static void
no_car(struct made *m)
{
	buf_str(&m->car, "<!DOCTYPE html><title>Sorry</title>");
}

static void
cut_short(struct made *m)
{
	repo_car(&m->blocks, &m->root, NULL, &m->car);
	m->car.len -= 3;
}

static const struct lie {
	const char *name, *error; /* "-": proven all the same */
	void (*before)(struct made *m), (*after)(struct made *m);
} lies[] = {
	{ "none", "-", NULL, NULL },
	{ "extra-blocks", "-", NULL, extra_blocks },
	{ "blocks-twice", "-", NULL, twice },
	{ "high-s", "HighSSignature", high_s, NULL },
	{ "der", "BadSignature", der, NULL },
	{ "other-key", "BadSignature", other_key, NULL },
	{ "other-curve", "BadSignature", other_curve, NULL },
	{ "other-author", "WrongRepository", other_author, NULL },
	{ "old-rev", "RevWentBack", old_rev, NULL },
	{ "future-rev", "RevInFuture", future_rev, NULL },
	{ "bad-rev", "CommitMalformed", bad_rev, NULL },
	{ "version-2", "CommitMalformed", version_2, NULL },
	{ "absent", "RecordNotInRepository", absent, NULL },
	{ "another-record", "", another_record, NULL }, /* proven, but not what the author's bundle is */
	{ "deep", "RecordMalformed", deep, NULL },
	{ "no-commit", "BlockMissing", NULL, no_commit },
	{ "no-root-node", "BlockMissing", NULL, no_root_node },
	{ "no-record", "BlockMissing", NULL, no_record },
	{ "wrong-root", "CommitMalformed", NULL, wrong_root },
	{ "root-of-nowhere", "BlockMissing", NULL, root_of_nowhere },
	{ "flipped-commit", "BlockHashMismatch", NULL, flipped_commit },
	{ "flipped-node", "BlockHashMismatch", NULL, flipped_node },
	{ "flipped-record", "BlockHashMismatch", NULL, flipped_record },
	{ "endless-varint", "CarMalformed", NULL, endless_varint },
	{ "no-car", "CarMalformed", NULL, no_car },
	{ "cut-short", "CarMalformed", NULL, cut_short },
};

static const struct lie *
lie_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof lies / sizeof *lies; i++)
		if (strcmp(lies[i].name, name) == 0)
			return &lies[i];
	die("no such lie");
	return NULL;
}

static enum key_curve
curve_of(const char *name)
{
	int c;

	for (c = 0; c < KEY_CURVE_COUNT; c++)
		if (name != NULL && strcmp(name, key_curve_name((enum key_curve)c)) == 0)
			return (enum key_curve)c;
	return KEY_K256;
}

static void
record_read(struct buf *cbor)
{
	struct buf json = BUF_INIT;
	struct err e = ERR_INIT;
	size_t n;

	while ((n = fread(buf_room(&json, 65536), 1, 65536, stdin)) > 0)
		json.len += n;
	if (json.len == 0 || data_cbor(json.data, json.len, cbor, &e) != 0)
		die(json.len == 0 ? "no record on standard input" : e.text);
	buf_clear(&json);
}

static void
leaves_fill(struct made *m, const char *collection, const char *rkey)
{
	size_t i;

	for (i = 0; i < OTHERS; i++)
		m->leaves[i] = (struct repo_leaf){ mem_fmt("app.bsky.feed.post/%08x", (unsigned)i * 2654435761u), m->record };
	m->leaves[OTHERS] = (struct repo_leaf){ mem_fmt("%s/%s", collection, rkey), m->record };
	m->n = OTHERS + 1;
}

static int
car(char **arg, const char *curve)
{
	const struct lie *lie = lie_find(arg[4]);
	struct made m = { .blocks = REPO_BLOCKS_INIT };
	struct buf record = BUF_INIT;
	size_t i;

	record_read(&record);
	m.record = repo_block_add(&m.blocks, record.data, record.len);
	leaves_fill(&m, arg[1], arg[2]);
	m.commit = (struct repo_commit){ .did = arg[0], .rev = arg[3], .curve = curve_of(curve), .secret = secret };
	if (lie->before != NULL)
		lie->before(&m);
	m.commit.root = repo_tree(m.leaves, m.n, &m.blocks);
	m.root = repo_commit_add(&m.blocks, &m.commit);
	if (lie->after != NULL)
		lie->after(&m);
	if (m.car.len == 0)
		repo_car(&m.blocks, &m.root, m.but, &m.car);
	fwrite(m.car.data, 1, m.car.len, stdout);
	for (i = 0; i <= OTHERS; i++)
		free((char *)(uintptr_t)m.leaves[i].key);
	repo_blocks_clear(&m.blocks);
	buf_clear(&record);
	buf_clear(&m.car);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int
public_key(const char *curve)
{
	char text[KEY_DID_TEXT + 1];
	struct key k;

	repo_key(curve_of(curve), secret, &k);
	key_print_did(&k, text);
	printf("%s\n", text + strlen(KEY_DID_PREFIX));
	return 0;
}

int
main(int argc, char **argv)
{
	size_t i;

	if (argc >= 2 && strcmp(argv[1], "key") == 0)
		return public_key(argv[2]);
	if (argc >= 7 && strcmp(argv[1], "car") == 0)
		return car(argv + 2, argv[7]);
	if (argc != 2 || strcmp(argv[1], "lies") != 0)
		die("usage: proof_make key | car | lies");
	for (i = 0; i < sizeof lies / sizeof *lies; i++)
		printf("%s %s\n", lies[i].name, lies[i].error);
	return 0;
}
