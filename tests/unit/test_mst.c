#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/mst.h"
#include "tests/repo.h"
#include "tests/t.h"

#define LEAF "bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454"

static cJSON *
vectors(const char *name)
{
	size_t n;
	char *text = t_read_file(t_vector(name), &n);
	cJSON *list;

	if (text == NULL)
		SKIP("%s is not there", t_vector(name));
	list = json_parse(text, n, JSON_DEPTH, NULL);
	if (list == NULL)
		list = cJSON_ParseWithLength(text, n); /* common_prefix.json has a NUL, which json_parse refuses */
	CHECK(cJSON_IsArray(list));
	free(text);
	return list;
}

static struct cid
cid_text(const char *s)
{
	struct cid c = { .codec = CID_RAW };

	CHECK_INT(cid_parse(&c, s, strlen(s), NULL), 0);
	return c;
}

TEST(mst_key_depths_are_those_of_the_vectors)
{
	cJSON *list = vectors("mst/key_heights.json");
	const cJSON *one;
	int64_t height = -1;

	cJSON_ArrayForEach(one, list) {
		const char *key = json_string(one, "key");

		CHECK_INT(json_int(one, "height", 0, 128, &height, NULL), 0);
		CHECK_INT(mst_key_depth(key, strlen(key)), height);
	}
	t_note("key_heights.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
}

TEST(mst_prefixes_are_those_of_the_vectors)
{
	cJSON *list = vectors("mst/common_prefix.json");
	const cJSON *one;

	cJSON_ArrayForEach(one, list) {
		const char *l = json_string(one, "left"), *r = json_string(one, "right");

		/* A \u0000 at the end of a vector ends the C string; the shared part is the same with and without. */
		CHECK_INT(mst_prefix(l, strlen(l), r, strlen(r)), json_member(one, "len")->valueint);
	}
	CHECK_INT(mst_prefix("abc", 3, "abc\0", 4), 3);
	CHECK_INT(mst_prefix("abc\0", 4, "abc\0x", 5), 4);
	t_note("common_prefix.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
}

TEST(mst_keys_of_the_vectors_are_keys_of_their_depth)
{
	size_t n;
	char *text = t_read_file(t_vector("mst/example_keys.txt"), &n), *line, *rest;
	int count = 0;

	if (text == NULL)
		SKIP("%s is not there", t_vector("mst/example_keys.txt"));
	/* The digit in "A0/374913" is the depth. */
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest), count++) {
		CHECK(mst_key_ok(line, strlen(line)));
		CHECK_INT(mst_key_depth(line, strlen(line)), line[1] - '0');
	}
	t_note("example_keys.txt: %d cases", count);
	free(text);
}

TEST(mst_keys_have_two_parts)
{
	static const char *const bad[] = { "", "/", "a", "a/", "/a", "a/b/c", "a//b", "a/b ", "a/\xc3\xbc", "a/b%", "a/b\n" };
	char longest[MST_KEY_MAX + 2];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!mst_key_ok(bad[i], strlen(bad[i])));
	CHECK(!mst_key_ok("a/b\0", 4));
	CHECK(mst_key_ok("a/b", 3) && mst_key_ok("com.example.record/3jqf_~-:.", 28));
	memset(longest, 'a', sizeof longest);
	longest[1] = '/';
	CHECK(mst_key_ok(longest, MST_KEY_MAX) && !mst_key_ok(longest, MST_KEY_MAX + 1));
}

/* --- trees --- */

static void
root_is(const char *const *keys, size_t n, const char *want)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct repo_leaf leaves[8];
	char text[CID_TEXT + 1];
	struct cid root;
	size_t i;

	for (i = 0; i < n; i++)
		leaves[i] = (struct repo_leaf){ keys[i], cid_text(LEAF) };
	root = repo_tree(leaves, n, &b);
	cid_print(&root, text);
	CHECK_STR(text, want);
	repo_blocks_clear(&b);
}

TEST(mst_known_trees_have_their_roots)
{
	static const char *const one[] = { "com.example.record/3jqfcqzm3fo2j" };
	static const char *const two[] = { "com.example.record/3jqfcqzm3fx2j" };
	static const char *const five[] = { "com.example.record/3jqfcqzm3fp2j", "com.example.record/3jqfcqzm3fr2j",
		"com.example.record/3jqfcqzm3fs2j", "com.example.record/3jqfcqzm3ft2j",
		"com.example.record/3jqfcqzm4fc2j" };

	root_is(NULL, 0, "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
	root_is(one, 1, "bafyreibj4lsc3aqnrvphp5xmrnfoorvru4wynt6lwidqbm2623a6tatzdu");
	root_is(two, 1, "bafyreih7wfei65pxzhauoibu3ls7jgmkju4bspy4t2ha2qdjnzqvoy33ai");
	root_is(five, 5, "bafyreicmahysq4n6wfuxo522m6dpiy7z7qzym3dzs756t5n7nfdgccwq7m");
	t_note("known roots: 4 cases");
}

/* The answer for one key: 1 there, 0 not there, -1 with the name in e. */
static int
look(const struct repo_blocks *b, const struct cid *root, const struct cid *but, const char *key, struct mst_found *f,
    struct err *e)
{
	struct buf bytes = BUF_INIT;
	struct car *car = NULL;
	int rc;

	repo_car(b, root, but, &bytes);
	CHECK_INT(car_open(&car, (uint8_t *)bytes.data, bytes.len, e), 0);
	rc = mst_find(car, root, key, strlen(key), f, e);
	car_free(car);
	buf_clear(&bytes);
	return rc != 0 ? -1 : f->found;
}

static size_t
keys_of(const cJSON *list, struct repo_leaf *leaves, size_t n, const struct cid *value)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, list)
		leaves[n++] = (struct repo_leaf){ one->valuestring, *value };
	return n;
}

static size_t
without(struct repo_leaf *leaves, size_t n, const cJSON *gone)
{
	const cJSON *one;
	size_t i;

	cJSON_ArrayForEach(one, gone)
		for (i = 0; i < n; i++)
			if (strcmp(leaves[i].key, one->valuestring) == 0)
				leaves[i--] = leaves[--n];
	return n;
}

/* The blocks that the vector lists are enough to prove what the commit did. */
static void
proof_blocks(const cJSON *one, const struct repo_blocks *after, const struct cid *root)
{
	struct repo_blocks listed = REPO_BLOCKS_INIT;
	struct err e = ERR_INIT;
	struct mst_found f;
	const cJSON *it;

	cJSON_ArrayForEach(it, json_array(one, "blocksInProof")) {
		struct cid id = cid_text(it->valuestring);
		const struct repo_block *block = repo_block_find(after, &id);

		CHECK(block != NULL);
		repo_block_add(&listed, block->bytes.data, block->bytes.len);
	}
	cJSON_ArrayForEach(it, json_array(one, "adds"))
		CHECK_INT(look(&listed, root, NULL, it->valuestring, &f, &e), 1);
	cJSON_ArrayForEach(it, json_array(one, "dels"))
		CHECK_INT(look(&listed, root, NULL, it->valuestring, &f, &e), 0);
	repo_blocks_clear(&listed);
}

TEST(mst_commits_of_the_firehose_lead_from_root_to_root)
{
	cJSON *list = vectors("firehose/commit-proof-fixtures.json");
	const cJSON *one;

	cJSON_ArrayForEach(one, list) {
		struct repo_blocks before = REPO_BLOCKS_INIT, after = REPO_BLOCKS_INIT;
		struct cid value = cid_text(json_string(one, "leafValue")), root;
		struct repo_leaf leaves[32];
		char text[CID_TEXT + 1];
		size_t n = keys_of(json_array(one, "keys"), leaves, 0, &value);

		root = repo_tree(leaves, n, &before);
		cid_print(&root, text);
		CHECK_STR(text, json_string(one, "rootBeforeCommit"));
		n = without(leaves, n, json_array(one, "dels"));
		n = keys_of(json_array(one, "adds"), leaves, n, &value);
		root = repo_tree(leaves, n, &after);
		cid_print(&root, text);
		CHECK_STR(text, json_string(one, "rootAfterCommit"));
		proof_blocks(one, &after, &root);
		repo_blocks_clear(&before);
		repo_blocks_clear(&after);
	}
	t_note("commit-proof-fixtures.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
}

#define MANY 1200

struct many {
	struct repo_blocks blocks;
	struct repo_leaf leaves[MANY];
	char *keys[MANY];
	struct cid root;
};

static void
many_fill(struct many *m)
{
	uint32_t i;

	*m = (struct many){ .blocks = REPO_BLOCKS_INIT };
	for (i = 0; i < MANY; i++) {
		m->keys[i] = mem_fmt("com.example.record/%08x", i * 2654435761u);
		m->leaves[i].key = m->keys[i];
		cid_of_bytes(&m->leaves[i].value, CID_DAG_CBOR, m->keys[i], 4 + strlen(m->keys[i]) - 4);
	}
	m->root = repo_tree(m->leaves, MANY, &m->blocks);
}

static void
many_clear(struct many *m)
{
	size_t i;

	for (i = 0; i < MANY; i++)
		free(m->keys[i]);
	repo_blocks_clear(&m->blocks);
}

TEST(mst_finds_each_key_of_a_large_tree_and_no_other)
{
	static struct many m;
	struct buf bytes = BUF_INIT;
	struct car *car = NULL;
	struct err e = ERR_INIT;
	struct mst_found f;
	int deepest = 0;
	size_t i;

	many_fill(&m);
	CHECK(m.blocks.n < CAR_BLOCKS_MAX);
	repo_car(&m.blocks, &m.root, NULL, &bytes);
	CHECK_INT(car_open(&car, (uint8_t *)bytes.data, bytes.len, &e), 0);
	for (i = 0; i < MANY; i++) {
		char *other = mem_fmt("%s-", m.leaves[i].key);

		CHECK_INT(mst_find(car, &m.root, m.leaves[i].key, strlen(m.leaves[i].key), &f, &e), 0);
		CHECK(f.found && cid_equal(&f.value, &m.leaves[i].value));
		if (f.nodes > deepest)
			deepest = f.nodes;
		CHECK_INT(mst_find(car, &m.root, other, strlen(other), &f, &e), 0);
		CHECK(!f.found);
		free(other);
	}
	CHECK(deepest >= 4);
	car_free(car);
	buf_clear(&bytes);
	many_clear(&m);
}

TEST(mst_names_the_missing_block)
{
	static struct many m;
	struct err e = ERR_INIT;
	struct mst_found f;
	char text[CID_TEXT + 1];

	many_fill(&m);
	CHECK_INT(look(&m.blocks, &m.root, &m.root, m.leaves[0].key, &f, &e), -1);
	CHECK_STR(e.name, "BlockMissing");
	cid_print(&m.root, text);
	CHECK(strstr(e.text, text) != NULL);
	many_clear(&m);
}

TEST(mst_of_nothing_proves_absence)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = repo_tree(NULL, 0, &b);
	struct err e = ERR_INIT;
	struct mst_found f;

	CHECK_INT(look(&b, &root, NULL, "a/b", &f, &e), 0);
	CHECK_INT(f.nodes, 1);
	repo_blocks_clear(&b);
}

/* --- nodes that break a rule --- */

struct raw { /* one entry as it is spelt; link: the CID of nowhere */
	int64_t p;
	const char *k;
	bool t;
};

static void
node_put(struct buf *out, const struct raw *e, size_t n, const struct cid *left)
{
	struct cid leaf = cid_text(LEAF);
	size_t i;

	buf_reset(out);
	cbor_put_map(out, 2);
	cbor_put_text(out, "e", 1);
	cbor_put_list(out, n);
	for (i = 0; i < n; i++) {
		cbor_put_map(out, 4);
		cbor_put_text(out, "k", 1);
		cbor_put_bytes(out, e[i].k, strlen(e[i].k));
		cbor_put_text(out, "p", 1);
		cbor_put_number(out, e[i].p);
		cbor_put_text(out, "t", 1);
		if (e[i].t)
			cbor_put_link(out, &leaf);
		else
			cbor_put_null(out);
		cbor_put_text(out, "v", 1);
		cbor_put_link(out, &leaf);
	}
	cbor_put_text(out, "l", 1);
	if (left != NULL)
		cbor_put_link(out, left);
	else
		cbor_put_null(out);
}

TEST(mst_nodes_that_break_a_rule_are_refused)
{
	static const struct {
		struct raw e[2];
		size_t n;
		const char *why; /* NULL: fine */
	} cases[] = {
		{ { { 0, "A0/374913", false }, { 0, "B0/601692", false } }, 2, NULL },
		{ { { 0, "A0/374913", true }, { 0, "B0/601692", true } }, 2, NULL },
		{ { { 1, "A0/374913", false } }, 1, "than that has" },
		{ { { -1, "A0/374913", false } }, 1, "number p" },
		{ { { 1025, "A0/374913", false } }, 1, "number p" },
		{ { { 0, "A0/374913", false }, { 10, "B0/601692", false } }, 2, "than that has" },
		{ { { 0, "B0/601692", false }, { 0, "A0/374913", false } }, 2, "order" },
		{ { { 0, "A0/374913", false }, { 9, "", false } }, 2, "empty" },
		{ { { 0, "A0/374913", false }, { 0, "A0/374913", false } }, 2, "shares more" },
		{ { { 0, "A0/374913", false }, { 2, "/", false } }, 2, "shares more" },
		{ { { 0, "A0/374913", false }, { 1, "1/076595", false } }, 2, "different depths" },
		{ { { 0, "A0374913", false } }, 1, "collection/rkey" },
		{ { { 0, "A0/37 913", false } }, 1, "collection/rkey" },
		{ { { 0, "", false } }, 1, "empty" },
	};
	struct buf b = BUF_INIT;
	struct mst_node node;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err e = ERR_INIT;
		int rc;

		node_put(&b, cases[i].e, cases[i].n, NULL);
		rc = mst_node_read((uint8_t *)b.data, b.len, &node, NULL, NULL, &e);
		CHECK_INT(rc, cases[i].why == NULL ? 0 : -1);
		if (rc == 0)
			continue;
		CHECK_STR(e.name, "MstMalformed");
		if (strstr(e.text, cases[i].why) == NULL)
			CHECK_STR(e.text, cases[i].why);
	}
	CHECK_INT(mst_node_read((const uint8_t *)"\x81", 1, &node, NULL, NULL, NULL), -1);
	CHECK_INT(mst_node_read((const uint8_t *)"\xa0", 1, &node, NULL, NULL, NULL), -1);
	buf_clear(&b);
}

TEST(mst_node_fields_are_those_and_no_others)
{
	struct raw one = { 0, "A0/374913", false };
	struct buf b = BUF_INIT;
	struct mst_node node;
	size_t i;
	int bit;

	/* A flipped bit anywhere gives another key or another value, or is refused; it never reads beyond. */
	node_put(&b, &one, 1, NULL);
	for (i = 0; i < b.len; i++)
		for (bit = 0; bit < 8; bit++) {
			b.data[i] = (char)(b.data[i] ^ 1 << bit);
			(void)mst_node_read((uint8_t *)b.data, b.len, &node, NULL, NULL, NULL);
			b.data[i] = (char)(b.data[i] ^ 1 << bit);
		}
	for (i = 0; i < b.len; i++)
		CHECK_INT(mst_node_read((uint8_t *)b.data, i, &node, NULL, NULL, NULL), -1);
	CHECK_INT(mst_node_read((uint8_t *)b.data, b.len, &node, NULL, NULL, NULL), 0);
	buf_clear(&b);
}

/* A root of depth 2 whose left subtree is the given node: what the walk says of a key of depth 0 before it. */
static void
hung(const struct raw *child, size_t n, const struct cid *left, const char *why)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct raw top = { 0, "D2/269196", false };
	struct buf bytes = BUF_INIT;
	struct err e = ERR_INIT;
	struct mst_found f;
	struct cid id, root;

	node_put(&bytes, child, n, left);
	id = repo_block_add(&b, bytes.data, bytes.len);
	node_put(&bytes, &top, 1, &id);
	root = repo_block_add(&b, bytes.data, bytes.len);
	CHECK_INT(look(&b, &root, NULL, "A0/374913", &f, &e), -1);
	if (strstr(e.text, why) == NULL)
		CHECK_STR(e.text, why);
	buf_clear(&bytes);
	repo_blocks_clear(&b);
}

TEST(mst_nodes_must_fit_where_they_hang)
{
	struct raw depth0 = { 0, "A0/374913", false }, depth2 = { 0, "C2/014073", false };
	struct raw behind = { 0, "E1/091396", false }, fits = { 0, "C1/438573", false };
	struct cid nowhere = cid_text(LEAF);

	hung(&depth0, 1, NULL, "not of the depth"); /* a level is left out */
	hung(&depth2, 1, NULL, "not of the depth");
	hung(NULL, 0, NULL, "empty below the root");
	hung(&behind, 1, NULL, "outside the keys");
	hung(&fits, 1, &nowhere, LEAF); /* the next block is missing, and named */
}

TEST(mst_roots_are_trimmed)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct raw one = { 0, "A0/374913", false };
	struct buf bytes = BUF_INIT;
	struct err e = ERR_INIT;
	struct mst_found f;
	struct cid id, root;

	node_put(&bytes, &one, 1, NULL);
	id = repo_block_add(&b, bytes.data, bytes.len);
	node_put(&bytes, NULL, 0, &id);
	root = repo_block_add(&b, bytes.data, bytes.len);
	CHECK_INT(look(&b, &root, NULL, one.k, &f, &e), -1);
	CHECK(strstr(e.text, "root without entries") != NULL);
	buf_clear(&bytes);
	repo_blocks_clear(&b);
}
