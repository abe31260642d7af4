#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/mst.h"
#include "lib/proof.h"
#include "lib/syntax.h"
#include "tests/repo.h"
#include "tests/t.h"

#define ALICE      "did:plc:obexdyjlfqefdulieaknknxm"
#define ALICE_KEY  "zRW4BkP1VVqgMPKpHDZjQKaYYm69FZipGTBXx87EQDHzWSe9Am8yvAsLi4feefTVKD6A5tgZ9gksCU93VDGxzfAta"
#define ALICE_TYPE "EcdsaSecp256k1VerificationKey2019"
#define AUTHOR     "did:plc:z72i7hdynmk6r22z27h6tvur"
#define COLLECTION "dev.at-run.bundle"
#define REV        "3lonbndhf722s"
#define REV_OLDER  "3lonbndhf6z2s"
#define REV_NEWER  "3lonbndhf822s"

/* --- a proof captured from a real PDS --- */

static char *
captured(const char *name, size_t *n)
{
	char *p = t_read_file(t_vector(name), n);

	if (p == NULL)
		SKIP("%s is not there", t_vector(name));
	return p;
}

static struct proof_ask
ask_alice(struct key *key)
{
	CHECK_INT(key_parse_method(key, ALICE_TYPE, ALICE_KEY, NULL), 0);
	return (struct proof_ask){ .did = ALICE, .collection = "dev.example.bundle", .rkey = "hello", .key = key };
}

TEST(proof_of_a_real_pds_holds)
{
	struct key key;
	struct proof_ask ask = ask_alice(&key);
	struct buf json = BUF_INIT, words = BUF_INIT;
	struct err e = ERR_INIT;
	struct proof p;
	char text[CID_TEXT + 1];
	size_t n;
	char *car = captured("proofs/record_proof.car", &n);

	CHECK_INT(proof_record(&ask, (uint8_t *)car, n, &p, &e), 0);
	cid_print(&p.record, text);
	CHECK_STR(text, "bafyreiaejmtm2aycpv7hao3it2xv7fjrcmz3uqfyk4cdriusrspvlo6moi");
	cid_print(&p.commit, text);
	CHECK_STR(text, "bafyreigj7jqkitqtgb6vfrvsj4qvl53hwpurxo76qzdc4frnxand7ojgqm");
	CHECK_INT(p.nodes, 1);
	CHECK_INT(p.blocks, 3);
	CHECK_INT(data_json(p.bytes, p.n, &json, &e), 0);
	CHECK(strstr(json.data, "{\"code\":{\"ref\":{\"$link\":\"bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa\"},")
	    == json.data);
	proof_words(&ask, &p, &words);
	CHECK(strstr(words.data, "did:key:zQ3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzML (K-256).\n") != NULL);
	CHECK(strstr(words.data, "1 node of it leads to dev.example.bundle/hello.\n") != NULL);
	CHECK(strstr(words.data, "There stands the record bafyreiaejmtm2aycpv7") != NULL);
	t_note("record_proof.car: 1 case");
	free(car);
	buf_clear(&json);
	buf_clear(&words);
}

TEST(proof_of_absence_from_a_real_pds_holds)
{
	struct key key;
	struct proof_ask ask = ask_alice(&key);
	struct err e = ERR_INIT;
	struct proof p;
	size_t n;
	char *car = captured("proofs/nonexist_proof.car", &n);

	ask.rkey = "missing";
	CHECK_INT(proof_record(&ask, (uint8_t *)car, n, &p, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	CHECK_STR(e.name, "RecordNotInRepository");
	CHECK(syntax_tid(p.rev, strlen(p.rev)));
	/* The same car leads to the other record, whose block was not sent. */
	ask.rkey = "hello";
	CHECK_INT(proof_record(&ask, (uint8_t *)car, n, &p, &e), -1);
	CHECK_STR(e.name, "BlockMissing");
	t_note("nonexist_proof.car: 1 case");
	free(car);
}

TEST(proof_of_a_real_pds_bears_no_flipped_bit)
{
	struct key key;
	struct proof_ask ask = ask_alice(&key);
	struct proof p;
	size_t n, i;
	char *car = captured("proofs/record_proof.car", &n);
	int bit;

	for (i = 0; i < n; i++)
		for (bit = 0; bit < 8; bit++) {
			car[i] = (char)(car[i] ^ 1 << bit);
			CHECK_INT(proof_record(&ask, (uint8_t *)car, n, &p, NULL), -1);
			car[i] = (char)(car[i] ^ 1 << bit);
		}
	for (i = 0; i < n; i++)
		CHECK_INT(proof_record(&ask, (uint8_t *)car, i, &p, NULL), -1);
	CHECK_INT(proof_record(&ask, (uint8_t *)car, n, &p, NULL), 0);
	free(car);
}

/* --- a repository of our own, on either curve --- */

static const uint8_t secret[32] = { 1, 2, 3 }, other_secret[32] = { 1, 2, 4 };

#define OTHERS 300 /* records around the bundle */

struct home {
	struct repo_blocks blocks;
	struct repo_commit commit;
	struct repo_leaf leaves[OTHERS + 2];
	char *names[OTHERS];
	struct cid record, root;
	struct key key;
};

static struct cid
record_add(struct repo_blocks *b, const char *name)
{
	struct buf r = BUF_INIT;
	struct cid made;

	cbor_put_map(&r, 2);
	cbor_put_text(&r, "name", 4);
	cbor_put_text(&r, name, strlen(name));
	cbor_put_text(&r, "$type", 5);
	cbor_put_text(&r, COLLECTION, strlen(COLLECTION));
	made = repo_block_add(b, r.data, r.len);
	buf_clear(&r);
	return made;
}

static void
home_fill(struct home *h, enum key_curve curve)
{
	uint32_t i;

	*h = (struct home){ .blocks = REPO_BLOCKS_INIT };
	repo_key(curve, secret, &h->key);
	h->record = record_add(&h->blocks, "hello");
	for (i = 0; i < OTHERS; i++) {
		h->names[i] = mem_fmt("app.bsky.feed.post/%08x", i * 2654435761u);
		h->leaves[i] = (struct repo_leaf){ h->names[i], h->record };
	}
	h->leaves[OTHERS] = (struct repo_leaf){ COLLECTION "/hello", h->record };
	h->leaves[OTHERS + 1] = (struct repo_leaf){ COLLECTION "/later", record_add(&h->blocks, "later") };
	h->commit = (struct repo_commit){ .did = AUTHOR, .rev = REV, .curve = curve, .secret = secret };
	h->commit.root = repo_tree(h->leaves, OTHERS + 2, &h->blocks);
	h->root = repo_commit_add(&h->blocks, &h->commit);
}

static void
home_clear(struct home *h)
{
	size_t i;

	for (i = 0; i < OTHERS; i++)
		free(h->names[i]);
	repo_blocks_clear(&h->blocks);
}

static struct proof_ask
home_ask(const struct home *h)
{
	return (struct proof_ask){ .did = AUTHOR, .collection = COLLECTION, .rkey = "hello", .key = &h->key };
}

/* Asks with these blocks under this root; the answer's name, "" when proven. */
static const char *
verdict(const struct home *h, const struct proof_ask *ask, const struct cid *root, const struct cid *but)
{
	static struct err e;
	struct buf car = BUF_INIT;
	struct proof p;

	e = (struct err)ERR_INIT;
	repo_car(&h->blocks, root, but, &car);
	if (proof_record(ask, (uint8_t *)car.data, car.len, &p, &e) != 0)
		CHECK(e.name[0] != '\0' && proof_meaning(e.name) != NULL && e.text[0] != '\0');
	buf_clear(&car);
	return e.name;
}

TEST(proof_holds_on_both_curves)
{
	static struct home h;
	struct proof_ask ask;
	int c;

	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		home_fill(&h, (enum key_curve)c);
		ask = home_ask(&h);
		CHECK_STR(verdict(&h, &ask, &h.root, NULL), "");
		ask.record = &h.record;
		ask.last_rev = REV;
		ask.now_ms = proof_rev_ms(REV);
		CHECK_STR(verdict(&h, &ask, &h.root, NULL), "");
		ask.rkey = "absent";
		CHECK_STR(verdict(&h, &ask, &h.root, NULL), "RecordNotInRepository");
		home_clear(&h);
	}
}

/* Which blocks the walk needs: the commit, the nodes on the way, the record. */
TEST(proof_misses_each_block_of_the_chain_and_no_other)
{
	static struct home h;
	struct proof_ask ask;
	size_t i, missed = 0;

	home_fill(&h, KEY_K256);
	ask = home_ask(&h);
	for (i = 0; i < h.blocks.n; i++) {
		const char *name = verdict(&h, &ask, &h.root, &h.blocks.block[i].id);

		if (name[0] == '\0')
			continue;
		CHECK_STR(name, "BlockMissing");
		missed++;
	}
	CHECK(missed >= 4 && missed <= 12);
	home_clear(&h);
}

TEST(proof_bears_no_flipped_byte_in_any_block)
{
	static struct home h;
	struct proof_ask ask;
	struct buf car = BUF_INIT;
	struct proof p;
	struct err e = ERR_INIT;
	size_t i;

	home_fill(&h, KEY_K256);
	ask = home_ask(&h);
	repo_car(&h.blocks, &h.root, NULL, &car);
	for (i = 0; i < car.len; i += 7) {
		car.data[i] = (char)~car.data[i];
		CHECK_INT(proof_record(&ask, (uint8_t *)car.data, car.len, &p, &e), -1);
		CHECK(proof_meaning(e.name) != NULL);
		car.data[i] = (char)~car.data[i];
	}
	buf_clear(&car);
	home_clear(&h);
}

TEST(proof_names_each_lie)
{
	static struct home h;
	struct proof_ask ask, asked;
	struct repo_commit lie;
	struct key other;
	struct cid id;
	int c;

	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		home_fill(&h, (enum key_curve)c);
		ask = home_ask(&h);

#define LIE(change, name)                                                         \
	do {                                                                      \
		lie = h.commit;                                                   \
		change;                                                           \
		id = repo_commit_add(&h.blocks, &lie);                            \
		CHECK_STR(verdict(&h, &ask, &id, NULL), name);                    \
	} while (0)
		LIE(lie.high_s = true, "HighSSignature");
		LIE(lie.der = true, "BadSignature");
		LIE(lie.secret = other_secret, "BadSignature");
		LIE(lie.curve = (enum key_curve)!c, "BadSignature");
		LIE(lie.did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "WrongRepository");
		LIE(lie.did = "", "WrongRepository");
		LIE(lie.version = 2, "CommitMalformed");
		LIE(lie.no_prev = true, "CommitMalformed");
		LIE(lie.rev = "yesterday", "CommitMalformed");
		LIE(lie.root = h.record, "MstMalformed");
		LIE(cid_of_bytes(&lie.root, CID_DAG_CBOR, "x", 1), "BlockMissing");
		LIE(lie.root.codec = CID_RAW, "CommitMalformed");

		/* wrong root: a record, a tree node, nothing */
		CHECK_STR(verdict(&h, &ask, &h.record, NULL), "CommitMalformed");
		CHECK_STR(verdict(&h, &ask, &h.commit.root, NULL), "CommitMalformed");
		cid_of_bytes(&id, CID_DAG_CBOR, "nothing", 7);
		CHECK_STR(verdict(&h, &ask, &id, NULL), "BlockMissing");

		/* the key of somebody else, of the other curve */
		asked = ask;
		repo_key((enum key_curve)c, other_secret, &other);
		asked.key = &other;
		CHECK_STR(verdict(&h, &asked, &h.root, NULL), "BadSignature");
		repo_key((enum key_curve)!c, secret, &other);
		CHECK_STR(verdict(&h, &asked, &h.root, NULL), "BadSignature");

		/* another version than the one wanted */
		asked = ask;
		asked.record = &h.leaves[OTHERS + 1].value;
		CHECK_STR(verdict(&h, &asked, &h.root, NULL), "RecordMismatch");
		home_clear(&h);
	}
}

TEST(proof_keeps_time_from_going_back)
{
	static struct home h;
	struct proof_ask ask;

	home_fill(&h, KEY_K256);
	ask = home_ask(&h);
	ask.last_rev = REV_OLDER;
	CHECK_STR(verdict(&h, &ask, &h.root, NULL), "");
	ask.last_rev = REV_NEWER;
	CHECK_STR(verdict(&h, &ask, &h.root, NULL), "RevWentBack");
	ask.rkey = "absent"; /* an old tree proves nothing about now */
	CHECK_STR(verdict(&h, &ask, &h.root, NULL), "RevWentBack");
	ask.rkey = "hello";
	ask.last_rev = NULL;
	ask.now_ms = proof_rev_ms(REV) - PROOF_FUTURE_LEEWAY_MS;
	CHECK_STR(verdict(&h, &ask, &h.root, NULL), "");
	ask.now_ms--;
	CHECK_STR(verdict(&h, &ask, &h.root, NULL), "RevInFuture");
	home_clear(&h);
}

/* A tree of one record whose block is the given bytes. */
static const char *
record_verdict(const void *p, size_t n, enum cid_codec codec)
{
	static struct home h;
	struct proof_ask ask;
	const char *name;
	size_t i;

	home_fill(&h, KEY_K256);
	ask = home_ask(&h);
	for (i = 0; strcmp(h.leaves[i].key, COLLECTION "/hello") != 0; i++)
		;
	h.leaves[i].value = repo_block_add(&h.blocks, p, n);
	if (codec == CID_RAW) {
		h.blocks.block[h.blocks.n - 1].id.codec = CID_RAW;
		h.leaves[i].value.codec = CID_RAW;
	}
	h.commit.root = repo_tree(h.leaves, OTHERS + 2, &h.blocks);
	h.root = repo_commit_add(&h.blocks, &h.commit);
	name = verdict(&h, &ask, &h.root, NULL);
	home_clear(&h);
	return name;
}

TEST(proof_refuses_records_that_are_not_strict_maps)
{
	CHECK_STR(record_verdict("\xa1" "aa\x01", 4, CID_DAG_CBOR), "");
	CHECK_STR(record_verdict("\x80", 1, CID_DAG_CBOR), "RecordMalformed");
	CHECK_STR(record_verdict("", 0, CID_DAG_CBOR), "RecordMalformed");
	CHECK_STR(record_verdict("\xa1" "aa\x18\x01", 5, CID_DAG_CBOR), "RecordMalformed");
	CHECK_STR(record_verdict("\xa1" "aa\xfb\x3f\xf8\0\0\0\0\0\0", 12, CID_DAG_CBOR), "RecordMalformed");
	CHECK_STR(record_verdict("\xa2" "aa\x01" "aa\x01", 7, CID_DAG_CBOR), "RecordMalformed");
	CHECK_STR(record_verdict("\xa1" "aa\x01", 4, CID_RAW), "RecordMalformed");
}

TEST(proof_wants_one_root)
{
	static struct home h;
	struct proof_ask ask;
	struct buf car = BUF_INIT, head = BUF_INIT;
	struct err e = ERR_INIT;
	struct proof p;
	size_t i, roots;

	home_fill(&h, KEY_K256);
	ask = home_ask(&h);
	for (roots = 0; roots <= 2; roots += 2) {
		buf_reset(&head);
		buf_reset(&car);
		cbor_put_map(&head, 2);
		cbor_put_text(&head, "roots", 5);
		cbor_put_list(&head, roots);
		for (i = 0; i < roots; i++)
			cbor_put_link(&head, &h.root);
		cbor_put_text(&head, "version", 7);
		cbor_put_number(&head, 1);
		buf_char(&car, (char)head.len);
		buf_add(&car, head.data, head.len);
		car_put_block(&car, &h.root, repo_block_find(&h.blocks, &h.root)->bytes.data,
		    repo_block_find(&h.blocks, &h.root)->bytes.len);
		CHECK_INT(proof_record(&ask, (uint8_t *)car.data, car.len, &p, &e), -1);
		CHECK_STR(e.name, "CarMalformed");
	}
	buf_clear(&head);
	buf_clear(&car);
	home_clear(&h);
}

TEST(proof_asks_only_for_keys_that_can_be)
{
	struct key key = { .curve = KEY_K256 };
	struct proof_ask ask = { .did = AUTHOR, .collection = COLLECTION, .rkey = "a/b", .key = &key };
	struct err e = ERR_INIT;
	struct proof p;

	CHECK_INT(proof_record(&ask, (const uint8_t *)"", 0, &p, &e), -1);
	CHECK_INT(e.kind, ERR_INPUT);
}

TEST(proof_names_have_meanings)
{
	size_t i;

	for (i = 0; proof_names(i) != NULL; i++)
		CHECK(proof_meaning(proof_names(i)) != NULL);
	CHECK(i > 10 && proof_meaning("Nonsense") == NULL);
}

TEST(proof_reads_the_time_of_a_rev)
{
	/* 2026-07-01 would be 1782864000000; the least and the largest rev are the ends of the scale. */
	CHECK_INT(proof_rev_ms("2222222222222"), 0);
	CHECK(proof_rev_ms("jzzzzzzzzzzzz") > INT64_C(9000000000000));
	CHECK(proof_rev_ms(REV_OLDER) <= proof_rev_ms(REV) && proof_rev_ms(REV) <= proof_rev_ms(REV_NEWER));
	CHECK(proof_rev_ms(REV) > INT64_C(1700000000000) && proof_rev_ms(REV) < INT64_C(1800000000000));
}
