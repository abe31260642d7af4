#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/multibase.h"
#include "tests/t.h"

/* --- the spelling --- */

static size_t
hex_bytes(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned v;

	for (; *hex != '\0' && n < room; hex += 2) {
		char two[3] = { hex[0], hex[1], '\0' };

		v = (unsigned)strtoul(two, NULL, 16);
		out[n++] = (uint8_t)v;
	}
	return n;
}

#define CID_HEX "d82a582500017112209d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33cef"

static const struct {
	const char *hex, *json;
} good[] = {
	{ "00", "0" }, { "17", "23" }, { "1818", "24" }, { "18ff", "255" }, { "190100", "256" }, { "19ffff", "65535" },
	{ "1a00010000", "65536" }, { "1affffffff", "4294967295" }, { "1b0000000100000000", "4294967296" },
	{ "1b001fffffffffffff", "9007199254740991" }, { "20", "-1" }, { "3818", "-25" },
	{ "3b001ffffffffffffe", "-9007199254740991" }, { "40", "{\"$bytes\":\"\"}" }, { "4101", "{\"$bytes\":\"AQ\"}" },
	{ "60", "\"\"" }, { "6161", "\"a\"" }, { "62c3bc", "\"\xc3\xbc\"" }, { "80", "[]" }, { "8101", "[1]" },
	{ "82018102", "[1,[2]]" }, { "a0", "{}" }, { "a1616101", "{\"a\":1}" }, { "a161618101", "{\"a\":[1]}" },
	{ "a2616201626161a0", "{\"b\":1,\"aa\":{}}" }, { "a260016161f5", "{\"\":1,\"a\":true}" },
	{ "f4", "false" }, { "f5", "true" }, { "f6", "null" }, { "610a", "\"\\n\"" },
	{ CID_HEX, "{\"$link\":\"bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454\"}" },
};

static const struct {
	const char *hex, *why;
} bad[] = {
	{ "", "too early" }, { "18", "too early" }, { "1900", "too early" }, { "1817", "shortest" },
	{ "1800", "shortest" }, { "1900ff", "shortest" }, { "1a0000ffff", "shortest" },
	{ "1b00000000ffffffff", "shortest" }, { "581701", "shortest" }, { "7800", "shortest" }, { "9800", "shortest" },
	{ "b800", "shortest" }, { "d9002a", "shortest" }, { "1b0020000000000000", "2^53" },
	{ "1bffffffffffffffff", "2^53" }, { "3b001fffffffffffff", "2^53" }, { "3bffffffffffffffff", "2^53" },
	{ "1c", "reserved" }, { "1d", "reserved" }, { "1e", "reserved" }, { "1f", "indefinite" },
	{ "5f4101ff", "indefinite" }, { "7f6161ff", "indefinite" }, { "9f01ff", "indefinite" },
	{ "bf616101ff", "indefinite" }, { "ff", "simple" }, { "f7", "simple" }, { "f0", "simple" }, { "f816", "simple" },
	{ "f8ff", "simple" }, { "f90000", "simple" }, { "fa00000000", "simple" }, { "fb3ff8000000000000", "simple" },
	{ "f97e00", "simple" }, { "4201", "beyond the end" }, { "6261", "beyond the end" }, { "8101ff", "more bytes" },
	{ "0000", "more bytes" }, { "8201", "beyond the end" }, { "82018101ff", "more bytes" }, { "a16161", "too early" },
	{ "a1616181", "beyond the end" }, { "5bffffffffffffffff00", "beyond the end" },
	{ "7b7fffffffffffffff00", "beyond the end" }, { "9bffffffffffffffff00", "131072" },
	{ "bbffffffffffffffff00", "131072" }, { "9a00020001", "131072" }, { "9a0002000000", "beyond the end" },
	{ "61ff", "UTF-8" }, { "62c080", "UTF-8" }, { "63eda080", "UTF-8" }, { "64f4908080", "UTF-8" },
	{ "a161ff01", "UTF-8" }, { "a10101", "not a text" }, { "a1410101", "not a text" }, { "a180a0", "not a text" },
	{ "a1f601", "not a text" }, { "a1a001", "not a text" }, { "a26161016161020000", "twice" },
	{ "a2616201616102", "order" }, { "a262616101616202", "order" }, { "c000", "tag 42" }, { "c100", "tag 42" },
	{ "d82b00", "tag 42" }, { "d82a00", "tag 42" }, { "d82a40", "tag 42" }, { "d82a4100", "tag 42" },
	{ "d82a", "too early" }, { "d9d9f7a0", "tag 42" },
	/* no zero byte in front; CIDv0; sha-512; another codec; a byte too many */
	{ "d82a58250101711220" "9d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33cef", "tag 42" },
	{ "d82a5825000071122000" "9d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33c", "tag 42" },
	{ "d82a58250001711320" "9d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33cef", "tag 42" },
	{ "d82a58250001701220" "9d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33cef", "tag 42" },
	{ "d82a58260001711220" "9d156bc3f3a520066252c708a9361fd3d089223842500e3713d404fdccb33cef00", "tag 42" },
};

TEST(cbor_takes_the_one_spelling_and_shows_it_as_json)
{
	struct buf json = BUF_INIT;
	struct err e = ERR_INIT;
	uint8_t raw[128];
	size_t i;

	for (i = 0; i < sizeof good / sizeof *good; i++) {
		size_t n = hex_bytes(good[i].hex, raw, sizeof raw), cut;

		e.text[0] = '\0';
		buf_reset(&json);
		CHECK_INT(cbor_check(raw, n, &e), 0);
		CHECK_STR(e.text, "");
		CHECK_INT(data_json(raw, n, &json, &e), 0);
		CHECK_STR(json.data, good[i].json);
		for (cut = 0; cut < n; cut++)
			CHECK(cbor_check(raw, cut, &e) == -1);
	}
	buf_clear(&json);
}

TEST(cbor_refuses_every_other_spelling)
{
	uint8_t raw[128];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = ERR_INIT;

		CHECK_INT(cbor_check(raw, hex_bytes(bad[i].hex, raw, sizeof raw), &e), -1);
		CHECK_INT(e.kind, ERR_INPUT);
		if (strstr(e.text, bad[i].why) == NULL)
			CHECK_STR(e.text, bad[i].why);
	}
}

TEST(cbor_depth_size_and_keys_are_capped)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	char key[CBOR_KEY_MAX + 2];
	int i;

	for (i = 0; i < 32; i++)
		cbor_put_list(&b, 1);
	cbor_put_null(&b);
	CHECK_INT(cbor_check((uint8_t *)b.data, b.len, &e), 0);
	buf_reset(&b);
	for (i = 0; i < 33; i++)
		cbor_put_list(&b, i < 32);
	CHECK_INT(cbor_check((uint8_t *)b.data, b.len, &e), -1);
	CHECK(strstr(e.text, "32 deep") != NULL);
	/* A million levels cost nothing. */
	buf_reset(&b);
	memset(buf_room(&b, 1000000), 0x81, 1000000);
	CHECK_INT(cbor_check((uint8_t *)b.data, 1000000, &e), -1);

	memset(key, 'k', sizeof key);
	buf_reset(&b);
	cbor_put_map(&b, 1);
	cbor_put_text(&b, key, CBOR_KEY_MAX);
	cbor_put_null(&b);
	CHECK_INT(cbor_check((uint8_t *)b.data, b.len, &e), 0);
	buf_reset(&b);
	cbor_put_map(&b, 1);
	cbor_put_text(&b, key, CBOR_KEY_MAX + 1);
	cbor_put_null(&b);
	CHECK_INT(cbor_check((uint8_t *)b.data, b.len, &e), -1);

	buf_reset(&b);
	memset(buf_room(&b, CBOR_BYTES_MAX + 1), 0, CBOR_BYTES_MAX + 1);
	CHECK_INT(cbor_check((uint8_t *)b.data, CBOR_BYTES_MAX + 1, &e), -1);
	CHECK(strstr(e.text, "limit") != NULL);
	buf_clear(&b);
}

TEST(cbor_writes_the_shortest_heads)
{
	static const int64_t edges[] = { 0, 23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296, CBOR_NUMBER_MAX };
	struct buf b = BUF_INIT;
	struct cbor c;
	struct cbor_item it;
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < 2 * sizeof edges / sizeof *edges; i++) {
		int64_t v = i % 2 == 0 ? edges[i / 2] : -edges[i / 2];

		buf_reset(&b);
		cbor_put_number(&b, v);
		CHECK_INT(cbor_check((uint8_t *)b.data, b.len, &e), 0);
		c = cbor_at((uint8_t *)b.data, b.len);
		CHECK(cbor_next(&c, &it));
		CHECK_INT(it.number, v);
		CHECK(!cbor_next(&c, &it));
	}
	buf_clear(&b);
}

TEST(cbor_steps_over_and_leaves_out)
{
	/* {"a": [[1], {"x": {}}], "b": 2, "cc": 3} */
	static const char hex[] = "a361618281" "01a16178a0" "616202" "62636303";
	struct cbor_item it, key;
	struct buf out = BUF_INIT, json = BUF_INIT;
	struct err e = ERR_INIT;
	uint8_t raw[64];
	size_t n = hex_bytes(hex, raw, sizeof raw);
	struct cbor c = cbor_at(raw, n);

	CHECK_INT(cbor_check(raw, n, &e), 0);
	CHECK(cbor_next(&c, &it) && it.kind == CBOR_MAP && it.n == 3);
	CHECK(cbor_pair(&c, &key, &it) && cbor_is(&key, "a"));
	cbor_skip(&c, &it);
	CHECK(cbor_pair(&c, &key, &it) && cbor_is(&key, "b") && it.number == 2);
	CHECK(!cbor_is(&key, "bb") && !cbor_is(&key, ""));
	CHECK_INT(cbor_without(raw, n, "b", &out, &e), 0);
	CHECK_INT(cbor_check((uint8_t *)out.data, out.len, &e), 0);
	CHECK_INT(data_json((uint8_t *)out.data, out.len, &json, &e), 0);
	CHECK_STR(json.data, "{\"a\":[[1],{\"x\":{}}],\"cc\":3}");
	CHECK_INT(cbor_without(raw, n, "x", &out, &e), -1);
	CHECK_INT(cbor_without(raw + 3, 2, "x", &out, &e), -1);
	buf_clear(&out);
	buf_clear(&json);
}

/* --- JSON --- */

TEST(data_refuses_what_json_cannot_tell_apart)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	uint8_t raw[64];

	buf_str(&out, "kept");
	CHECK_INT(data_json(raw, hex_bytes("a16624627974657360", raw, sizeof raw), &out, &e), -1);
	CHECK(strstr(e.text, "$bytes") != NULL);
	CHECK_INT(data_json(raw, hex_bytes("81a165246c696e6b00", raw, sizeof raw), &out, &e), -1);
	CHECK(strstr(e.text, "$link") != NULL);
	CHECK_STR(out.data, "kept");
	buf_clear(&out);
}

TEST(data_reads_numbers_as_the_data_model_has_them)
{
	static const struct {
		const char *json, *hex; /* hex NULL: refused */
	} cases[] = {
		{ "{\"a\":123.0}", "a16161187b" }, { "{\"a\":1e2}", "a161611864" }, { "{\"a\":-0}", "a1616100" },
		{ "{\"a\":9007199254740991}", "a161611b001fffffffffffff" }, { "{\"a\":9007199254740992}", NULL },
		{ "{\"a\":9007199254740993}", NULL }, { "{\"a\":-9007199254740992}", NULL }, { "{\"a\":0.5}", NULL },
		{ "{\"a\":1e300}", NULL }, { "{\"a\":1e999}", NULL }, { "[1]", NULL }, { "1", NULL }, { "{", NULL },
		{ "{\"a\":1,\"a\":2}", NULL }, { "{\"bb\":1,\"c\":2}", "a26163026262" "6201" },
		{ "{\"a\":{\"$bytes\":\"AQ==\"}}", "a161614101" }, { "{\"a\":{\"$bytes\":\"AR==\"}}", NULL },
		{ "{\"$bytes\":\"AQ\"}", "4101" },
	};
	struct buf out = BUF_INIT;
	uint8_t raw[64];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err e = ERR_INIT;
		int rc;

		buf_reset(&out);
		rc = data_cbor(cases[i].json, strlen(cases[i].json), &out, &e);
		CHECK_INT(rc, cases[i].hex == NULL ? -1 : 0);
		if (rc != 0) {
			CHECK_INT(out.len, 0);
			continue;
		}
		CHECK_INT(out.len, hex_bytes(cases[i].hex, raw, sizeof raw));
		CHECK(memcmp(out.data, raw, out.len) == 0);
	}
	buf_clear(&out);
}

/* --- the public vectors --- */

static cJSON *
vectors(const char *name)
{
	char *text;
	size_t n;
	cJSON *list;

	text = t_read_file(t_vector(name), &n);
	if (text == NULL)
		SKIP("%s is not there", t_vector(name));
	list = json_parse(text, n, JSON_DEPTH, NULL);
	CHECK(cJSON_IsArray(list));
	free(text);
	return list;
}

static int
case_cbor(const cJSON *one, struct buf *out)
{
	struct buf text = BUF_INIT;
	int rc;

	json_print(cJSON_GetObjectItemCaseSensitive(one, "json"), &text);
	buf_reset(out);
	rc = data_cbor(text.data, text.len, out, NULL);
	buf_clear(&text);
	return rc;
}

TEST(data_model_fixtures_become_their_bytes_and_cids)
{
	cJSON *list = vectors("data-model/data-model-fixtures.json");
	struct buf cbor = BUF_INIT, want = BUF_INIT, json = BUF_INIT, again = BUF_INIT;
	const cJSON *one;
	char text[CID_TEXT + 1];
	struct cid id;

	cJSON_ArrayForEach(one, list) {
		const char *base64 = json_string(one, "cbor_base64");

		buf_reset(&want);
		buf_reset(&json);
		buf_reset(&again);
		CHECK_INT(case_cbor(one, &cbor), 0);
		CHECK_INT(base64_parse(base64, strlen(base64), &want), 0);
		CHECK(cbor.len == want.len && memcmp(cbor.data, want.data, want.len) == 0);
		cid_of_bytes(&id, CID_DAG_CBOR, cbor.data, cbor.len);
		cid_print(&id, text);
		CHECK_STR(text, json_string(one, "cid"));
		CHECK_INT(data_json((uint8_t *)cbor.data, cbor.len, &json, NULL), 0);
		CHECK_INT(data_cbor(json.data, json.len, &again, NULL), 0);
		CHECK(again.len == want.len && memcmp(again.data, want.data, want.len) == 0);
	}
	t_note("data-model-fixtures.json: %d cases", cJSON_GetArraySize(list));
	buf_clear(&cbor);
	buf_clear(&want);
	buf_clear(&json);
	buf_clear(&again);
	cJSON_Delete(list);
}

static void
all_answer(const char *name, int rc)
{
	cJSON *list = vectors(name);
	struct buf out = BUF_INIT;
	const cJSON *one;

	cJSON_ArrayForEach(one, list)
		if (case_cbor(one, &out) != rc)
			CHECK_STR(json_string(one, "note"), rc == 0 ? "accepted" : "refused");
	t_note("%s: %d cases", strrchr(name, '/') + 1, cJSON_GetArraySize(list));
	buf_clear(&out);
	cJSON_Delete(list);
}

TEST(data_model_valid_values_are_taken)
{
	all_answer("data-model/data-model-valid.json", 0);
}

TEST(data_model_invalid_values_are_refused)
{
	all_answer("data-model/data-model-invalid.json", -1);
}
