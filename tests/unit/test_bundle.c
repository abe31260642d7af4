#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

#define CID "bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"
#define CODE "\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":\"" CID "\"},\"mimeType\":\"application/javascript\",\"size\":40}"
#define REC(more) "{\"$type\":\"dev.at-run.bundle\",\"name\":\"hello\"," CODE more "}"

static struct bundle *
parse(const char *s, struct err *e)
{
	return bundle_parse(s, strlen(s), false, e);
}

TEST(bundle_of_the_design)
{
	struct bundle *b = parse(REC(",\"version\":\"1.2.0\",\"runtime\":\"Application/JavaScript+Deno; x=1\",\"entry\":\"src/main.js\","
				     "\"endpoints\":{\"listVideos\":{},\"thumb\":{\"task\":true,\"concurrency\":1,\"idempotent\":true,"
				     "\"attempts\":3,\"timeoutMs\":500,\"priority\":-3,\"backoffMs\":250},\"sync\":{\"schedule\":\"*/10 * * * *\",\"timeZone\":\"Europe/Berlin\",\"overlap\":\"queue\",\"missed\":\"once\"}},"
				     "\"permissions\":{\"net\":[\"api.example.com:443\"],\"read\":[],\"write\":[\"/tmp\"],\"env\":[\"LANG\"],"
				     "\"run\":true,\"ffi\":false},\"limits\":{\"timeoutMs\":10000,\"memoryMb\":128},"
				     "\"createdAt\":\"2026-11-01T00:00:00Z\",\"somethingNew\":[1]"), NULL);
	const struct bundle_endpoint *p;

	CHECK(b != NULL);
	CHECK_STR(b->name, "hello");
	CHECK_STR(b->version, "1.2.0");
	CHECK_STR(b->runtime, "application/javascript+deno");
	CHECK_STR(b->mime, "application/javascript");
	CHECK_STR(b->code, CID);
	CHECK_INT(b->bytes, 40);
	CHECK_INT(b->endpoints, 3);
	p = bundle_endpoint(b, "thumb");
	CHECK(p->task && p->idempotent && p->priority == -3 && p->backoff_ms == 250);
	CHECK_INT(p->attempts, 3);
	CHECK_INT(p->timeout_ms, 500);
	CHECK_STR(bundle_endpoint(b, "sync")->schedule, "*/10 * * * *");
	CHECK(bundle_endpoint(b, "Thumb") == NULL);
	CHECK_STR(b->permissions.net.item[0], "api.example.com:443");
	CHECK_INT(b->permissions.read.n, 0);
	CHECK_STR(b->permissions.run.item[0], "*");
	CHECK_INT(b->permissions.ffi.n, 0);
	CHECK_INT(b->limits.memory_bytes, 128 * 1024 * 1024);
	CHECK_INT(b->limits.timeout_ms, 10000);
	CHECK_INT(b->limits.cpu_ms, 0);
	bundle_free(b);
}

TEST(bundle_without_endpoints_offers_all)
{
	struct bundle *b = parse(REC(""), NULL);

	CHECK(b->any_endpoint);
	CHECK(bundle_endpoint(b, "whatever") != NULL);
	CHECK_STR(b->runtime, "application/javascript");
	CHECK_STR(bundle_entry_default(b, 0), "main.js");
	bundle_free(b);
}

TEST(bundle_json_reads_back_the_same)
{
	static const char *const all[] = { REC(""), REC(",\"version\":\"1\",\"endpoints\":{\"a\":{\"task\":true,\"schedule\":\"1 2 3 4 5\"},"
							"\"b\":{\"idempotent\":true}},\"permissions\":{\"net\":[\"a\",\"b\\\"\"],\"sys\":true},"
							"\"limits\":{\"memoryMb\":1,\"egressBytes\":7}"),
		"{\"name\":\"x\",\"code\":{\"cid\":\"" CID "\",\"mimeType\":\"text/x-python\"}}" };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct bundle *b = parse(all[i], NULL), *c;
		struct buf one = BUF_INIT, two = BUF_INIT;

		CHECK(b != NULL);
		bundle_json(b, &one);
		c = parse(one.data, NULL);
		CHECK(c != NULL);
		bundle_json(c, &two);
		CHECK_STR(one.data, two.data);
		bundle_free(b);
		bundle_free(c);
		buf_clear(&one);
		buf_clear(&two);
	}
}

TEST(bundle_that_is_wrong_says_what)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "[]", "not an object" },
		{ "{" CODE "}", "name is missing" },
		{ "{\"name\":\"a:b\"," CODE "}", "name may have" },
		{ "{\"name\":7," CODE "}", "name must be a string" },
		{ "{\"name\":\"x\"}", "code must be a blob" },
		{ "{\"name\":\"x\",\"code\":\"" CID "\"}", "code must be a blob" },
		{ "{\"name\":\"x\",\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":"
		  "\"bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm\"},\"mimeType\":\"a/b\",\"size\":1}}", "not the CID of a blob" },
		{ "{\"name\":\"x\",\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":\"" CID "\"},\"mimeType\":\"a/b\"}}", "size is missing" },
		{ "{\"name\":\"x\",\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":\"" CID "\"},\"mimeType\":\"a/b\",\"size\":-1}}", "size must be" },
		{ "{\"name\":\"x\",\"code\":{\"$type\":\"blob\",\"ref\":{\"$link\":\"" CID "\"},\"mimeType\":\"ab\",\"size\":1}}", "mimeType" },
		{ REC(",\"version\":\"latest\""), "version" },
		{ REC(",\"runtime\":\"deno\""), "runtime is not a MIME type" },
		{ REC(",\"entry\":\"../x\""), "entry must be" },
		{ REC(",\"entry\":\"/x\""), "entry must be" },
		{ REC(",\"endpoints\":[]"), "endpoints must be an object" },
		{ REC(",\"endpoints\":{}"), "endpoints is empty" },
		{ REC(",\"endpoints\":{\"a b\":{}}"), "not the name of an export" },
		{ REC(",\"endpoints\":{\"a\":true}"), "endpoints.a must be an object" },
		{ REC(",\"endpoints\":{\"a\":{\"task\":1}}"), "endpoints.a: task must be" },
		{ REC(",\"endpoints\":{\"a\":{\"priority\":11}}"), "endpoints.a: priority must be -10 to 10" },
		{ REC(",\"endpoints\":{\"a\":{\"backoffMs\":0}}"), "endpoints.a: backoffMs must be" },
		{ REC(",\"limits\":{\"concurrency\":0}"), "concurrency must be" },
		{ REC(",\"endpoints\":{\"a\":{\"attempts\":0}}"), "endpoints.a: attempts must be 1 to 20" },
		{ REC(",\"endpoints\":{\"a\":{\"schedule\":\"* * * *\"}}"), "five cron fields" },
		{ REC(",\"endpoints\":{\"a\":{\"schedule\":\"61 * * * *\"}}"), "endpoints.a: the minute of the schedule" },
		{ REC(",\"endpoints\":{\"a\":{\"timeZone\":\"../etc\"}}"), "timeZone must be" },
		{ REC(",\"endpoints\":{\"a\":{\"overlap\":\"often\"}}"), "overlap may not be often" },
		{ REC(",\"endpoints\":{\"a\":{\"missed\":1}}"), "missed must be" },
		{ REC(",\"permissions\":[]"), "permissions must be an object" },
		{ REC(",\"permissions\":{\"net\":\"x\"}"), "permissions.net must be a list" },
		{ REC(",\"permissions\":{\"net\":[1]}"), "permissions.net must hold" },
		{ REC(",\"permissions\":{\"env\":[\"a\\n\"]}"), "permissions.env must hold" },
		{ REC(",\"limits\":{\"memoryMb\":1.5}"), "limits: memoryMb must be a whole number" },
		{ REC(",\"limits\":{\"timeoutMs\":0}"), "limits: timeoutMs must be 1 to" },
		{ REC(",\"createdAt\":\"today\""), "createdAt" },
		{ REC(",\"name\":\"twice\""), "stands twice" },
	};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct err e = ERR_INIT;
		struct bundle *b = parse(bad[i].text, &e);

		if (b != NULL)
			t_check(false, bad[i].text, __FILE__, __LINE__);
		CHECK_INT(e.kind, ERR_INPUT);
		CHECK_STR(e.name, "InvalidBundle");
		if (strstr(e.text, bad[i].why) == NULL)
			CHECK_STR(e.text, bad[i].why);
	}
}

TEST(bundle_of_a_developer_needs_no_blob)
{
	const char *s = "{\"runtime\":\"text/x-python\"}";
	struct bundle *b = bundle_parse(s, strlen(s), true, NULL);

	CHECK(b != NULL && b->code == NULL && b->name == NULL);
	CHECK_STR(bundle_entry_default(b, 0), "main.py");
	bundle_free(b);
}

TEST(bundle_paths)
{
	static const char *const good[] = { "a", "a/b.js", ".env", "...", "\xc3\xa9/x" };
	static const char *const bad[] = { "", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "./a", "a\\b", "a\nb", "\xff", "a\x7f" };
	char text[300];
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		CHECK(bundle_path_ok(good[i], strlen(good[i])));
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK(!bundle_path_ok(bad[i], strlen(bad[i])));
	CHECK(!bundle_path_ok("a\0b", 3));
	memset(text, 'x', sizeof text);
	CHECK(bundle_path_ok(text, BUNDLE_PATH_MAX));
	CHECK(!bundle_path_ok(text, BUNDLE_PATH_MAX + 1));
}

static void
put(const char *dir, const char *name, const char *text)
{
	char *path = mem_fmt("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	CHECK(f != NULL);
	fputs(text, f);
	fclose(f);
	free(path);
}

TEST(bundle_place_links_or_copies_and_follows_nothing)
{
	const char *root = t_tmpdir();
	char *from = mem_fmt("%s/from", root), *sub = mem_fmt("%s/from/sub", root), *to = mem_fmt("%s/to", root),
	     *copy = mem_fmt("%s/copy", root), *file = mem_fmt("%s/to/sub/b.js", root),
	     *copied = mem_fmt("%s/copy/sub/b.js", root), *link = mem_fmt("%s/from/link", root);
	struct stat a, b, c;
	struct err e = ERR_INIT;
	char *orig = mem_fmt("%s/sub/b.js", from);

	mkdir(from, 0755);
	mkdir(sub, 0755);
	put(from, "a.js", "a");
	put(sub, "b.js", "b");
	CHECK_INT(bundle_place(from, to, false, &e), 0);
	CHECK_INT(bundle_place(from, copy, true, &e), 0);
	CHECK_INT(stat(orig, &a), 0);
	CHECK_INT(stat(file, &b), 0);
	CHECK_INT(stat(copied, &c), 0);
	CHECK(a.st_ino == b.st_ino && a.st_ino != c.st_ino);
	CHECK_INT(bundle_place(from, to, false, &e), -1); /* is there already, and stays */
	CHECK_INT(access(file, F_OK), 0);
	CHECK_INT(bundle_remove(to, NULL), 0);
	CHECK(access(to, F_OK) != 0);
	CHECK_INT(bundle_remove(to, NULL), 0);
	CHECK_INT(symlink("/etc/passwd", link), 0);
	CHECK_INT(bundle_place(from, to, true, &e), -1);
	CHECK(access(to, F_OK) != 0);
	CHECK_INT(bundle_remove(from, NULL), 0);
	CHECK_INT(access("/etc/passwd", F_OK), 0);
	free(from), free(sub), free(to), free(copy), free(file), free(copied), free(link), free(orig);
}

TEST(bundle_remove_takes_a_tree_made_to_resist)
{
	char *dir = mem_fmt("%s/deep", t_tmpdir());
	int fd, i;

	CHECK_INT(mkdir(dir, 0700), 0);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < 300; i++) {
		int next;

		CHECK_INT(mkdirat(fd, "d", 0700), 0);
		CHECK_INT(symlinkat("/", fd, "l"), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fchmod(fd, 0);
		close(fd);
		fd = next;
	}
	close(fd);
	CHECK_INT(bundle_remove(dir, NULL), 0);
	CHECK(access(dir, F_OK) != 0);
	free(dir);
}

TEST(bundle_entry_is_a_file_of_the_bundle)
{
	const char *dir = t_tmpdir();
	struct bundle *b = parse(REC(""), NULL), *named = parse(REC(",\"entry\":\"lib/x.js\""), NULL);
	char out[BUNDLE_PATH_MAX + 1];
	struct err e = ERR_INIT;

	CHECK_INT(bundle_entry(b, dir, out, &e), -1);
	CHECK_STR(e.name, "InvalidBundle");
	put(dir, "index.js", "");
	CHECK_INT(bundle_entry(b, dir, out, &e), 0);
	CHECK_STR(out, "index.js");
	put(dir, "main.js", "");
	CHECK_INT(bundle_entry(b, dir, out, &e), 0);
	CHECK_STR(out, "main.js");
	CHECK_INT(bundle_entry(named, dir, out, &e), -1);
	bundle_free(b);
	bundle_free(named);
}
