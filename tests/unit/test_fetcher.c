#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "scheduler/fetcher.h"
#include "tests/t.h"

#define DID  "did:plc:7iza6de2dwap2sbkpav7c6c6"
#define CODE "bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"
#define REC  "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
#define GOOD \
	"{\"id\":7,\"op\":\"bundle\",\"ok\":true,\"did\":\"" DID "\",\"handle\":null,\"pds\":\"https://pds.example.com\"," \
	"\"uri\":\"at://" DID "/dev.at-run.bundle/hello\",\"cid\":\"" REC "\"," \
	"\"proven\":true,\"rev\":\"3jzfcijpj2z2a\",\"commit\":\"" REC "\",\"proof\":\"words\",\"unchanged\":false," \
	"\"record\":{\"name\":\"hello\",\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":\"" CODE \
	"\"},\"mimeType\":\"text/javascript\",\"size\":40}},\"code\":\"" CODE "\",\"dir\":\"bundles/" CODE "-abc234\"," \
	"\"bytes\":40,\"timings\":{\"identity\":1,\"record\":2,\"blob\":3}}"

TEST(fetcher_request_is_one_message)
{
	struct fetcher_request r = { .id = 7, .author = DID, .name = "hello", .version = "latest", .known_cid = REC,
		.deadline_ms = 1234 };
	struct buf out = BUF_INIT;
	const char *json = NULL;
	size_t n = 0, i;

	fetcher_request_add(&out, &r);
	for (i = 0; i < out.len; i++)
		CHECK_INT(fetcher_message_next(out.data, i, &json, &n, NULL), 0);
	CHECK_INT(fetcher_message_next(out.data, out.len, &json, &n, NULL), out.len);
	CHECK_STR(json, "{\"id\":7,\"op\":\"bundle\",\"author\":\"" DID "\",\"name\":\"hello\",\"version\":\"latest\","
			"\"knownCid\":\"" REC "\",\"deadlineMs\":1234}");
	CHECK_INT(fetcher_message_next("\x7f\xff\xff\xff", 4, &json, &n, NULL), -1);
	CHECK_INT(fetcher_message_next("\0\0\0\0", 4, &json, &n, NULL), -1);
	buf_clear(&out);
}

TEST(fetcher_answer_that_is_fine)
{
	struct fetcher_answer a;

	CHECK_INT(fetcher_answer_parse(GOOD, strlen(GOOD), &a, NULL), 0);
	CHECK(a.ok && !a.unchanged && a.handle == NULL);
	CHECK_INT(a.id, 7);
	CHECK_STR(a.did, DID);
	CHECK_STR(a.dir, "bundles/" CODE "-abc234");
	CHECK_STR(a.bundle->name, "hello");
	CHECK_INT(a.bytes, 40);
	CHECK_INT(a.blob_ms, 3);
	fetcher_answer_clear(&a);
}

TEST(fetcher_answer_that_is_an_error)
{
	const char *s = "{\"id\":8,\"ok\":false,\"kind\":\"notfound\",\"name\":\"BundleNotFound\",\"message\":\"no\\nbundle\","
			"\"did\":\"" DID "\",\"rev\":\"3jzfcijpj2z2a\"}";
	struct fetcher_answer a;

	CHECK_INT(fetcher_answer_parse(s, strlen(s), &a, NULL), 0);
	CHECK(!a.ok);
	CHECK_INT(a.error.kind, ERR_NOTFOUND);
	CHECK_STR(a.error.name, "BundleNotFound");
	CHECK_STR(a.error.text, "no bundle");
	CHECK_STR(a.rev, "3jzfcijpj2z2a");
	fetcher_answer_clear(&a);
}

/* The good answer with one piece replaced. */
static void
refuse(const char *from, const char *to)
{
	const char *at = strstr(GOOD, from);
	struct buf b = BUF_INIT;
	struct fetcher_answer a;
	struct err e = ERR_INIT;

	CHECK(at != NULL);
	buf_add(&b, GOOD, (size_t)(at - GOOD));
	buf_str(&b, to);
	buf_str(&b, at + strlen(from));
	if (fetcher_answer_parse(b.data, b.len, &a, &e) == 0)
		t_check(false, b.data, __FILE__, __LINE__);
	CHECK_INT(e.kind == ERR_REMOTE || e.kind == ERR_INPUT, 1);
	CHECK(a.did == NULL && a.bundle == NULL);
	buf_clear(&b);
}

TEST(fetcher_answer_is_believed_in_nothing)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"id\":1}", "{\"id\":1,\"ok\":false}",
		"{\"id\":1,\"ok\":false,\"kind\":\"fine\",\"name\":\"X\",\"message\":\"\"}",
		"{\"id\":1,\"ok\":false,\"kind\":\"remote\",\"name\":\"X Y\",\"message\":\"\"}",
		"{\"id\":1,\"ok\":false,\"kind\":\"remote\",\"name\":\"\",\"message\":\"\"}" };
	struct fetcher_answer a;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (fetcher_answer_parse(bad[i], strlen(bad[i]), &a, NULL) == 0)
			t_check(false, bad[i], __FILE__, __LINE__);
	refuse("\"id\":7", "\"id\":-1");
	refuse("\"id\":7,", "");
	refuse("\"did\":\"did:", "\"did\":\"dad:");
	refuse("\"handle\":null", "\"handle\":\"not a handle\"");
	refuse("\"handle\":null", "\"handle\":7");
	refuse("https://pds", "https://p\\u001bds");
	refuse("\"uri\":\"at://" DID, "\"uri\":\"at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
	refuse("\"cid\":\"" REC, "\"cid\":\"" CODE);
	refuse("\"proven\":true", "\"proven\":false");
	refuse("\"rev\":\"3", "\"rev\":\"z");
	refuse("\"commit\":\"" REC, "\"commit\":\"" CODE);
	refuse("\"proof\":", "\"prove\":");
	refuse("\"code\":\"" CODE, "\"code\":\"" REC);
	refuse("bundles/" CODE "-abc234", "bundles/../keys");
	refuse("bundles/" CODE "-abc234", "bundles/" CODE "/../../keys");
	refuse("bundles/" CODE "-abc234", "/bundles/" CODE);
	refuse("\"record\":{", "\"record\":[],\"r\":{");
	refuse("\"name\":\"hello\"", "\"name\":\"a:b\"");
	refuse("\"bytes\":40", "\"bytes\":-1");
	refuse("\"bytes\":40,", "");
	refuse("\"blob\":3", "\"blob\":1.5");
	refuse("\"$link\":\"" CODE, "\"$link\":\"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
}

TEST(fetcher_identity_and_records_are_read)
{
	static const char who[] = "{\"id\":1,\"op\":\"identity\",\"ok\":true,\"did\":\"" DID "\",\"handle\":\"a.test\",\"pds\":"
		"\"https://pds.example.com\",\"key\":\"zQ3\",\"keyType\":\"Multikey\"}";
	static const char page[] = "{\"id\":2,\"op\":\"records\",\"ok\":true,\"did\":\"" DID "\",\"handle\":null,\"pds\":"
		"\"https://pds.example.com\",\"seen\":7,\"records\":[{\"uri\":\"at://" DID "/app.bsky.graph.follow/x\",\"cid\":"
		"\"" REC "\",\"value\":{\"subject\":\"did:web:a.test\"}}],\"cursor\":\"next\"}";
	struct fetcher_answer a;

	CHECK_INT(fetcher_answer_parse(who, strlen(who), &a, NULL), 0);
	CHECK_INT(a.op, FETCHER_IDENTITY);
	CHECK_STR(a.handle, "a.test");
	CHECK_STR(a.key, "zQ3");
	fetcher_answer_clear(&a);
	CHECK_INT(fetcher_answer_parse(page, strlen(page), &a, NULL), 0);
	CHECK_INT(a.n_records, 1);
	CHECK_INT(a.seen, 7);
	CHECK_STR(a.records[0].value_json, "{\"subject\":\"did:web:a.test\"}");
	CHECK_STR(a.cursor, "next");
	fetcher_answer_clear(&a);
}

TEST(fetcher_questions_say_what_they_are)
{
	struct fetcher_request who = { .id = 1, .op = FETCHER_IDENTITY, .author = DID, .renew = true, .deadline_ms = 5 };
	struct fetcher_request page = { .id = 2, .op = FETCHER_RECORDS, .author = DID, .collection = "a.b.c", .cursor = "x",
		.member = "list", .value = "at://l", .only = "subject", .deadline_ms = 5 };
	struct buf out = BUF_INIT;
	const char *json = NULL;
	size_t n = 0;

	fetcher_request_add(&out, &who);
	fetcher_message_next(out.data, out.len, &json, &n, NULL);
	CHECK_STR(json, "{\"id\":1,\"op\":\"identity\",\"author\":\"" DID "\",\"renew\":true,\"deadlineMs\":5}");
	buf_reset(&out);
	fetcher_request_add(&out, &page);
	fetcher_message_next(out.data, out.len, &json, &n, NULL);
	CHECK_STR(json, "{\"id\":2,\"op\":\"records\",\"author\":\"" DID "\",\"collection\":\"a.b.c\",\"cursor\":\"x\","
			"\"member\":\"list\",\"value\":\"at://l\",\"only\":\"subject\",\"deadlineMs\":5}");
	buf_clear(&out);
}

TEST(fetcher_conf_checks_ports)
{
	struct fetcher_conf f;
	struct conf c;
	char good[] = "8443", bad[] = "84x";
	char *one[] = { good }, *other[] = { bad };

	memset(&c, 0, sizeof c);
	c.atproto.ports = (struct conf_list){ one, 1 };
	CHECK_INT(fetcher_conf_fill(&f, &c, NULL), 0);
	CHECK_INT(f.ports[0], 8443);
	c.atproto.ports = (struct conf_list){ other, 1 };
	CHECK_INT(fetcher_conf_fill(&f, &c, NULL), -1);
}
