#include "lib/proof.h"

#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/err.h"
#include "lib/mst.h"
#include "lib/syntax.h"

#define COMMIT_VERSION 3

static const struct {
	const char *name, *meaning;
} links[] = {
	{ "NoSigningKey", "the DID document names no signing key" },
	{ "KeyMalformed", "the DID document's signing key cannot be read" },
	{ "WrongCurve", "the DID document's signing key is not one of P-256 or K-256" },
	{ "CarMalformed", "the proof is not a CAR file with one root" },
	{ "CarTooLarge", "the proof is larger than any honest one" },
	{ "BlockHashMismatch", "a block's bytes are not those that its CID names" },
	{ "BlockMissing", "the proof lacks a block that the chain leads through" },
	{ "CommitMalformed", "the root of the proof is not a commit of repository version 3" },
	{ "WrongRepository", "the commit belongs to another author" },
	{ "BadSignature", "the commit is not signed by the author's key" },
	{ "HighSSignature", "the commit's signature has the form that repositories do not allow" },
	{ "RevInFuture", "the commit says that it was made in the future" },
	{ "RevWentBack", "the commit is older than one seen before: an old state is being replayed" },
	{ "MstMalformed", "the repository's tree breaks its own rules" },
	{ "RecordNotInRepository", "the repository provably does not hold this record" },
	{ "RecordMalformed", "the record is not strict DAG-CBOR" },
	{ "RecordMismatch", "the repository holds another version of this record" },
};

const char *
proof_names(size_t i)
{
	return i < sizeof links / sizeof *links ? links[i].name : NULL;
}

const char *
proof_meaning(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof links / sizeof *links; i++)
		if (strcmp(links[i].name, name) == 0)
			return links[i].meaning;
	return NULL;
}

int64_t
proof_rev_ms(const char *rev)
{
	static const char digits[] = "234567abcdefghijklmnopqrstuvwxyz";
	uint64_t v = 0;
	const char *p;

	for (p = rev; *p != '\0'; p++)
		v = v << 5 | (uint64_t)(strchr(digits, *p) - digits);
	/* The last ten bits tell clocks apart, the others count microseconds. */
	return (int64_t)(v >> 10) / 1000;
}

/* --- the commit --- */

struct commit {
	struct cbor_item did, rev, sig;
	struct cid root;
};

static int
commit_malformed(struct err *e, const char *what)
{
	return err_named(e, ERR_REMOTE, "CommitMalformed", "commit: %s", what);
}

/* The six fields in the only order that DAG-CBOR leaves. */
static int
commit_read(struct commit *c, const uint8_t *p, size_t n, struct err *e)
{
	struct cbor at = cbor_at(p, n);
	struct cbor_item it, key;
	struct err broken;

	if (cbor_check(p, n, &broken) != 0)
		return commit_malformed(e, broken.text);
	if (!cbor_next(&at, &it) || it.kind != CBOR_MAP || it.n != 6)
		return commit_malformed(e, "not a map of did, rev, sig, data, prev and version");
	if (!cbor_pair(&at, &key, &c->did) || !cbor_is(&key, "did") || c->did.kind != CBOR_TEXT)
		return commit_malformed(e, "no text did");
	if (!cbor_pair(&at, &key, &c->rev) || !cbor_is(&key, "rev") || c->rev.kind != CBOR_TEXT ||
	    !syntax_tid((const char *)c->rev.data, c->rev.n))
		return commit_malformed(e, "no rev that is a TID");
	if (!cbor_pair(&at, &key, &c->sig) || !cbor_is(&key, "sig") || c->sig.kind != CBOR_BYTES)
		return commit_malformed(e, "no bytes sig");
	if (!cbor_pair(&at, &key, &it) || !cbor_is(&key, "data") || it.kind != CBOR_LINK ||
	    it.link.codec != CID_DAG_CBOR)
		return commit_malformed(e, "no link data");
	c->root = it.link;
	if (!cbor_pair(&at, &key, &it) || !cbor_is(&key, "prev") || (it.kind != CBOR_NULL && it.kind != CBOR_LINK))
		return commit_malformed(e, "no prev that is null or a link");
	if (!cbor_pair(&at, &key, &it) || !cbor_is(&key, "version") || it.kind != CBOR_NUMBER ||
	    it.number != COMMIT_VERSION)
		return commit_malformed(e, "not of version 3");
	return 0;
}

static int
commit_signed(const struct commit *c, const uint8_t *p, size_t n, const struct key *key, struct err *e)
{
	struct buf unsigned_bytes = BUF_INIT;
	int rc = -1;

	if (cbor_without(p, n, "sig", &unsigned_bytes, e) != 0)
		goto out;
	rc = key_verify(key, unsigned_bytes.data, unsigned_bytes.len, c->sig.data, c->sig.n, false, e);
	if (rc != 0)
		err_wrap(e, "commit");
out:
	buf_clear(&unsigned_bytes);
	return rc;
}

static int
rev_check(const struct proof_ask *ask, const char *rev, struct err *e)
{
	if (ask->now_ms > 0 && proof_rev_ms(rev) > ask->now_ms + PROOF_FUTURE_LEEWAY_MS)
		return err_named(e, ERR_REMOTE, "RevInFuture", "commit: rev %s is in the future", rev);
	if (ask->last_rev != NULL && strcmp(rev, ask->last_rev) < 0)
		return err_named(e, ERR_REMOTE, "RevWentBack", "commit: rev %s is older than %s, which was seen before",
		    rev, ask->last_rev);
	return 0;
}

static int
block_missing(const struct cid *id, const char *what, struct err *e)
{
	char text[CID_TEXT + 1];

	cid_print(id, text);
	return err_named(e, ERR_REMOTE, "BlockMissing", "the proof lacks %s %s", what, text);
}

/* From the car's root to a signed commit of the right author and age. */
static int
commit_check(const struct proof_ask *ask, const struct car *car, struct proof *out, struct err *e)
{
	struct commit c;
	const uint8_t *p;
	size_t n;

	if (car_roots(car) != 1)
		return err_named(e, ERR_REMOTE, "CarMalformed", "CAR: %zu roots instead of one", car_roots(car));
	out->commit = *car_root(car, 0);
	p = car_block(car, &out->commit, &n);
	if (p == NULL)
		return block_missing(&out->commit, "commit", e);
	if (out->commit.codec != CID_DAG_CBOR)
		return commit_malformed(e, "its CID is not one of dag-cbor");
	if (commit_read(&c, p, n, e) != 0)
		return -1;
	if (!cbor_is(&c.did, ask->did))
		return err_named(e, ERR_REMOTE, "WrongRepository", "commit: of %.*s, not of %s",
		    (int)(c.did.n < 200 ? c.did.n : 200), (const char *)c.did.data, ask->did);
	if (commit_signed(&c, p, n, ask->key, e) != 0)
		return -1;
	memcpy(out->rev, c.rev.data, PROOF_REV_TEXT);
	out->rev[PROOF_REV_TEXT] = '\0';
	out->root = c.root;
	return rev_check(ask, out->rev, e);
}

static int
record_check(const struct proof_ask *ask, const struct car *car, struct proof *out, struct err *e)
{
	struct err broken;
	struct cbor at;
	struct cbor_item it;

	if (ask->record != NULL && !cid_equal(ask->record, &out->record)) {
		char there[CID_TEXT + 1], wanted[CID_TEXT + 1];

		cid_print(&out->record, there);
		cid_print(ask->record, wanted);
		return err_named(e, ERR_REMOTE, "RecordMismatch", "%s/%s is %s in the repository, not %s",
		    ask->collection, ask->rkey, there, wanted);
	}
	out->bytes = car_block(car, &out->record, &out->n);
	if (out->bytes == NULL)
		return block_missing(&out->record, "record", e);
	if (out->record.codec != CID_DAG_CBOR)
		return err_named(e, ERR_REMOTE, "RecordMalformed", "record: its CID is not one of dag-cbor");
	if (cbor_check(out->bytes, out->n, &broken) != 0)
		return err_named(e, ERR_REMOTE, "RecordMalformed", "record: %s", broken.text);
	at = cbor_at(out->bytes, out->n);
	if (!cbor_next(&at, &it) || it.kind != CBOR_MAP)
		return err_named(e, ERR_REMOTE, "RecordMalformed", "record: not a map");
	return 0;
}

int
proof_record(const struct proof_ask *ask, const uint8_t *bytes, size_t n, struct proof *out, struct err *e)
{
	struct buf path = BUF_INIT;
	struct car *car = NULL;
	struct mst_found at;
	int rc = -1;

	*out = (struct proof){ .nodes = 0 };
	buf_fmt(&path, "%s/%s", ask->collection, ask->rkey);
	if (!mst_key_ok(path.data, path.len)) {
		err_set(e, ERR_INPUT, "\"%.200s\" cannot be a record's key", path.data);
		goto out;
	}
	if (car_open(&car, bytes, n, e) != 0)
		goto out;
	out->blocks = car_blocks(car);
	if (commit_check(ask, car, out, e) != 0)
		goto out;
	if (mst_find(car, &out->root, path.data, path.len, &at, e) != 0)
		goto out;
	out->nodes = at.nodes;
	if (!at.found) {
		err_named(e, ERR_NOTFOUND, "RecordNotInRepository", "%s has no record %s (proven by its commit %s)",
		    ask->did, path.data, out->rev);
		goto out;
	}
	out->record = at.value;
	rc = record_check(ask, car, out, e);
out:
	car_free(car);
	buf_clear(&path);
	return rc;
}

static void
time_words(int64_t ms, struct buf *out)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];

	if (gmtime_r(&t, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		buf_str(out, text);
}

void
proof_words(const struct proof_ask *ask, const struct proof *p, struct buf *out)
{
	char key[KEY_DID_TEXT + 1], commit[CID_TEXT + 1], root[CID_TEXT + 1], record[CID_TEXT + 1];

	key_print_did(ask->key, key);
	cid_print(&p->commit, commit);
	cid_print(&p->root, root);
	cid_print(&p->record, record);
	buf_fmt(out, "%s names the signing key %s (%s).\n", ask->did, key, key_curve_name(ask->key->curve));
	buf_fmt(out, "That key signed the commit %s, rev %s, ", commit, p->rev);
	time_words(proof_rev_ms(p->rev), out);
	buf_fmt(out, ".\nThe commit names the tree %s, and %d node%s of it lead%s to %s/%s.\n", root, p->nodes,
	    p->nodes == 1 ? "" : "s", p->nodes == 1 ? "s" : "", ask->collection, ask->rkey);
	buf_fmt(out, "There stands the record %s, and these are the bytes that hash to it.\n", record);
}
