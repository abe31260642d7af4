#include "tests/t.h"

#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/bundle.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "scheduler/admit.h"
#include "scheduler/catalog.h"

static struct conf *
conf(const char *text)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_parse("config.ini", text, strlen(text), "/home/x/.at-rund", NULL, &e);

	CHECK_STR(e.text, "");
	CHECK(c != NULL);
	return c;
}

#define ME "did = did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"

struct world {
	struct conf *conf;
	struct runtime node;
	struct runtimes runtimes;
	struct code code;
	struct admit_rules rules;
};

static void
world_open(struct world *w, const char *config, const char *record)
{
	static char *mime[] = { (char *)"application/javascript+node" };
	struct err e = ERR_INIT;

	memset(w, 0, sizeof *w);
	w->conf = conf(config);
	w->node = (struct runtime){ .name = (char *)"node", .mime = { mime, 1 }, .concurrency = 1 };
	w->runtimes = (struct runtimes){ &w->node, 1 };
	w->code = (struct code){ .refs = 1, .name = (char *)"hello", .runtime = &w->node,
		.wall = backend_named("none") };
	w->code.bundle = bundle_parse(record, strlen(record), true, &e);
	CHECK_STR(e.text, "");
	w->rules = (struct admit_rules){ w->conf, &w->runtimes };
}

static void
world_close(struct world *w)
{
	bundle_free(w->code.bundle);
	conf_free(w->conf);
}

#define RECORD(rest) "{\"name\":\"hello\",\"runtime\":\"application/javascript+node\",\"entry\":\"main.js\"" rest "}"

static enum access_fact
nobody(void *arg, enum access_edge edge, const char *list, const char *did)
{
	(void)arg;
	(void)edge;
	(void)list;
	(void)did;
	return FACT_NO;
}
static const struct access_facts facts = { nobody, NULL };

TEST(authors_are_hosted_as_the_mode_says)
{
	static const char list[] = ME "[access]\n";
	static const struct {
		const char *rest, *did;
		bool allowed;
	} cases[] = {
		{ "mode = open\n", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", true },
		{ "mode = allowlist\nallowlist = did:plc:aaaaaaaaaaaaaaaaaaaaaaaa\n", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", true },
		{ "mode = allowlist\nallowlist = did:plc:aaaaaaaaaaaaaaaaaaaaaaaa\n", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", false },
		{ "mode = blocklist\nblocklist = did:plc:aaaaaaaaaaaaaaaaaaaaaaaa\n", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "mode = blocklist\nblocklist = did:plc:aaaaaaaaaaaaaaaaaaaaaaaa\n", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", true },
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *text = mem_fmt("%s%s", list, cases[i].rest);
		struct err e = ERR_INIT;
		struct conf *c = conf(text);

		CHECK_INT(admit_author(c, &facts, cases[i].did, &e) == ACCESS_YES, cases[i].allowed);
		CHECK(cases[i].allowed || (e.kind == ERR_DENIED && strcmp(e.name, "AuthorNotAllowed") == 0));
		conf_free(c);
		free(text);
	}
}

TEST(the_author_local_is_there_for_developers_only)
{
	struct conf *c = conf("[access]\nmode = open\n[dev]\nbundles = /srv/b\n");
	struct err e = ERR_INIT;

	CHECK_INT(admit_author(c, &facts, "local", &e), ACCESS_NO);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	c->dev = true;
	CHECK_INT(admit_author(c, &facts, "local", &e), ACCESS_YES);
	conf_free(c);
}

TEST(the_smallest_time_wins_and_says_whose_it_is)
{
	struct world w;
	struct admission a;
	struct err e = ERR_INIT;

	world_open(&w, "[access]\nmode = open\n[limits]\ntimeout = 30s\n", RECORD(",\"limits\":{\"timeoutMs\":10000}"));
	CHECK_INT(admit_code(&w.rules, &w.code, "default", 30000, &a, &e), 0);
	CHECK_INT(a.timeout_ms, 10000);
	CHECK_STR(a.limit_key, "the bundle's limits.timeoutMs");
	CHECK_INT(admit_code(&w.rules, &w.code, "default", 2000, &a, &e), 0);
	CHECK_INT(a.timeout_ms, 2000);
	CHECK_STR(a.limit_key, "the caller's wait");
	world_close(&w);
	world_open(&w, "[access]\nmode = open\n[limits]\ntimeout = 5s\n", RECORD(",\"limits\":{\"timeoutMs\":10000}"));
	CHECK_INT(admit_code(&w.rules, &w.code, "default", 5000, &a, &e), 0);
	CHECK_INT(a.timeout_ms, 5000);
	CHECK_STR(a.limit_key, "limits.timeout");
	world_close(&w);
}

TEST(an_endpoint_that_the_record_does_not_list_is_not_found)
{
	struct world w;
	struct admission a;
	struct err e = ERR_INIT;

	world_open(&w, "[access]\nmode = open\n", RECORD(",\"endpoints\":{\"one\":{},\"two\":{\"idempotent\":true,\"attempts\":2}}"));
	CHECK_INT(admit_code(&w.rules, &w.code, "three", 1000, &a, &e), -1);
	CHECK_STR(e.name, "EndpointNotFound");
	CHECK_INT(admit_code(&w.rules, &w.code, "one", 1000, &a, &e), 0);
	CHECK_INT(a.attempts, 1);
	CHECK_INT(admit_code(&w.rules, &w.code, "two", 1000, &a, &e), 0);
	CHECK_INT(a.attempts, 2);
	world_close(&w);
}

TEST(a_runtime_that_is_not_offered_is_refused_with_those_that_are)
{
	struct world w;
	struct admission a;
	struct err e = ERR_INIT;

	world_open(&w, "[access]\nmode = open\n", "{\"runtime\":\"application/cobol\",\"entry\":\"m\"}");
	w.code.runtime = NULL;
	CHECK_INT(admit_code(&w.rules, &w.code, "default", 1000, &a, &e), -1);
	CHECK_STR(e.name, "RuntimeNotOffered");
	CHECK(strstr(e.text, "application/cobol") != NULL && strstr(e.text, "application/javascript+node") != NULL);
	world_close(&w);
}

TEST(permissions_that_the_wall_cannot_hold_are_refused_by_name)
{
	static const struct {
		const char *record, *named; /* NULL: granted */
	} cases[] = {
		{ RECORD(",\"permissions\":{\"net\":[\"api.example.com:443\"],\"write\":[\"/tmp\"],\"env\":[\"LANG\"]}"), NULL },
		{ RECORD(",\"permissions\":{\"run\":[\"ls\"]}"), "permissions.run: 'ls'" },
		{ RECORD(",\"permissions\":{\"read\":[\"/etc\"]}"), "permissions.read: '/etc'" },
		{ RECORD(",\"permissions\":{\"write\":[\"/tmp/../etc\"]}"), "permissions.write" },
		{ RECORD(",\"permissions\":{\"env\":[\"AWS_SECRET\"]}"), "permissions.env: 'AWS_SECRET'" },
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct world w;
		struct admission a;
		struct err e = ERR_INIT;

		world_open(&w, "[access]\nmode = open\n", cases[i].record);
		CHECK_INT(admit_code(&w.rules, &w.code, "default", 1000, &a, &e), cases[i].named == NULL ? 0 : -1);
		if (cases[i].named != NULL) {
			CHECK_STR(e.name, "PermissionNotGranted");
			CHECK(strstr(e.text, cases[i].named) != NULL);
		}
		world_close(&w);
	}
}
