/*
 * Our own verdicts, for test_opinion.py, which asks the atproto packages (opinion.mjs) the same.  One JSON request a line, one
 * JSON answer a line:
 *
 *     {"op":"car","car":base64,"did","collection","rkey","key":did:key,"record":CID}    {"says":"ok" | error name}
 *     {"op":"signed","key":did:key,"message":base64,"signature":base64}                 {"says":…}
 *     {"op":"token","token","aud","lxm","key":did:key}                                  {"says":…}
 *     {"op":"cbor","bytes":base64}                                                      {"says":…}
 *     {"op":"cid","json":"{…}"}                                                         {"says":CID | error name}
 *     {"op":"key","type","multibase"}                                                   {"says":did:key | error name}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/cid.h"
#include "lib/clock.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/key.h"
#include "lib/multibase.h"
#include "lib/proof.h"

static const char *
text(const cJSON *q, const char *name)
{
	const char *s = json_string(q, name);

	if (s == NULL) {
		fprintf(stderr, "proof_judge: %s is missing\n", name);
		exit(2);
	}
	return s;
}

static void
bytes(const cJSON *q, const char *name, struct buf *out)
{
	const char *s = text(q, name);

	buf_room(out, 1);
	if (base64_parse(s, strlen(s), out) != 0) {
		fprintf(stderr, "proof_judge: %s is no base64\n", name);
		exit(2);
	}
}

static int
judge_car(const cJSON *q, struct buf *says, struct err *e)
{
	struct proof_ask ask = { .did = text(q, "did"), .collection = text(q, "collection"), .rkey = text(q, "rkey") };
	const char *record = text(q, "record"), *key = text(q, "key");
	struct buf car = BUF_INIT;
	struct proof p;
	struct key k;
	struct cid c;
	int rc = -1;

	(void)says;
	bytes(q, "car", &car);
	ask.key = &k;
	ask.record = &c;
	if (cid_parse(&c, record, strlen(record), e) == 0 && key_parse_did(&k, key, strlen(key), e) == 0)
		rc = proof_record(&ask, (const uint8_t *)car.data, car.len, &p, e);
	buf_clear(&car);
	return rc;
}

static int
judge_signed(const cJSON *q, struct buf *says, struct err *e)
{
	struct buf message = BUF_INIT, signature = BUF_INIT;
	const char *key = text(q, "key");
	struct key k;
	int rc = key_parse_did(&k, key, strlen(key), e);

	(void)says;
	bytes(q, "message", &message);
	bytes(q, "signature", &signature);
	if (rc == 0)
		rc = key_verify(&k, message.data, message.len, (const uint8_t *)signature.data, signature.len, false, e);
	buf_clear(&message);
	buf_clear(&signature);
	return rc;
}

static int
judge_token(const cJSON *q, struct buf *says, struct err *e)
{
	const char *s = text(q, "token"), *key = text(q, "key");
	struct jwt t;
	struct key k;
	int rc = -1;

	(void)says;
	if (jwt_parse(&t, s, strlen(s), e) != 0)
		return -1;
	if (jwt_check(&t, text(q, "aud"), "#at_run", text(q, "lxm"), clock_wall_ms() / 1000, e) == 0 &&
	    key_parse_did(&k, key, strlen(key), e) == 0) {
		if (k.curve != t.alg)
			err_named(e, ERR_DENIED, "BadJwtSignature", "of another curve");
		else
			rc = key_verify(&k, s, t.signed_n, t.signature, sizeof t.signature, true, e);
	}
	jwt_clear(&t);
	return rc;
}

static int
judge_cbor(const cJSON *q, struct buf *says, struct err *e)
{
	struct buf b = BUF_INIT;
	int rc;

	(void)says;
	bytes(q, "bytes", &b);
	rc = cbor_check((const uint8_t *)b.data, b.len, e);
	buf_clear(&b);
	return rc;
}

static int
judge_cid(const cJSON *q, struct buf *says, struct err *e)
{
	const char *json = text(q, "json");
	struct buf cbor = BUF_INIT;
	char name[CID_TEXT + 1];
	struct cid c;
	int rc = data_cbor(json, strlen(json), &cbor, e);

	if (rc == 0) {
		cid_of_bytes(&c, CID_DAG_CBOR, cbor.data, cbor.len);
		cid_print(&c, name);
		buf_str(says, name);
	}
	buf_clear(&cbor);
	return rc;
}

static int
judge_key(const cJSON *q, struct buf *says, struct err *e)
{
	char did[KEY_DID_TEXT + 1];
	struct key k;

	if (key_parse_method(&k, text(q, "type"), text(q, "multibase"), e) != 0)
		return -1;
	key_print_did(&k, did);
	buf_str(says, did);
	return 0;
}

static const struct {
	const char *op;
	int (*judge)(const cJSON *q, struct buf *says, struct err *e);
} judges[] = {
	{ "car", judge_car },
	{ "signed", judge_signed },
	{ "token", judge_token },
	{ "cbor", judge_cbor },
	{ "cid", judge_cid },
	{ "key", judge_key },
};

static void
answer(const char *line, size_t n)
{
	cJSON *q = json_parse(line, n, JSON_DEPTH, NULL);
	struct buf says = BUF_INIT;
	struct err e = ERR_INIT;
	const char *op = text(q, "op");
	size_t i;

	for (i = 0; i < sizeof judges / sizeof *judges && strcmp(judges[i].op, op) != 0; i++)
		;
	if (i == sizeof judges / sizeof *judges)
		exit(2);
	if (judges[i].judge(q, &says, &e) != 0) {
		buf_reset(&says);
		buf_str(&says, err_name(&e));
	}
	printf("{\"says\":\"%s\"}\n", says.len > 0 ? says.data : "ok");
	fflush(stdout);
	buf_clear(&says);
	cJSON_Delete(q);
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0)
		answer(line, (size_t)n);
	free(line);
	return 0;
}
