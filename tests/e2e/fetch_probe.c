/*
 * Asks the fetcher, in a process of its own as the scheduler has it, for bundles and prints its answers.
 *
 *     fetch_probe [--KEY VALUE]... AUTHOR NAME VERSION [AUTHOR NAME VERSION]...
 *
 * NAME +identity asks who the author is (VERSION renew: reads the document again), +records for a page of the collection
 * VERSION, +post brings VERSION as a callback to the URL AUTHOR.
 * All requests go out at once.  Every answer is checked as the scheduler checks it; one line of JSON each, in the order
 * they come.  Exit 0 when all came.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "scheduler/fetcher.h"

struct option {
	const char *name;
	int64_t *number;
	const char **text;
};

static struct fetcher_conf conf = {
	.plc_url = "https://plc.directory",
	.collection = "dev.at-run.bundle",
	.bundles_dir = ".",
	.blob_bytes = 10 << 20,
	.record_bytes = 1 << 20,
	.did_bytes = 512 << 10,
	.unpacked_bytes = 64 << 20,
	.entries = 1000,
	.connect_ms = 5000,
	.first_byte_ms = 10000,
	.total_ms = 30000,
	.identity_fresh_ms = 600000,
	.workers = 8,
};
static int64_t dev, deadline_ms = 30000;
static const char *known, *last_rev, *cursor, *member, *value, *only;

static const struct option options[] = {
	{ "--plc", NULL, &conf.plc_url },
	{ "--resolver", NULL, &conf.handle_resolver },
	{ "--collection", NULL, &conf.collection },
	{ "--dir", NULL, &conf.bundles_dir },
	{ "--known", NULL, &known },
	{ "--rev", NULL, &last_rev },
	{ "--cursor", NULL, &cursor },
	{ "--member", NULL, &member },
	{ "--value", NULL, &value },
	{ "--only", NULL, &only },
	{ "--dev", &dev, NULL },
	{ "--deadline", &deadline_ms, NULL },
	{ "--blob", &conf.blob_bytes, NULL },
	{ "--record", &conf.record_bytes, NULL },
	{ "--unpacked", &conf.unpacked_bytes, NULL },
	{ "--connect", &conf.connect_ms, NULL },
	{ "--first-byte", &conf.first_byte_ms, NULL },
	{ "--total", &conf.total_ms, NULL },
};

static int
read_options(int argc, char **argv)
{
	int at = 1;
	size_t i, n = sizeof options / sizeof options[0];

	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
		for (i = 0; i < n && strcmp(argv[at], options[i].name) != 0; i++)
			;
		if (i == n)
			return -1;
		if (options[i].number != NULL)
			*options[i].number = atoll(argv[at + 1]);
		else
			*options[i].text = argv[at + 1];
	}
	conf.dev = dev != 0;
	return (argc - at) % 3 == 0 && at < argc ? at : -1;
}

static int
print_answers(int fd, int wanted)
{
	struct buf in = BUF_INIT;
	struct err e = ERR_INIT;

	while (wanted > 0) {
		const char *json = NULL;
		size_t n = 0;
		long took;
		ssize_t got = read(fd, buf_room(&in, 65536), 65536);

		if (got <= 0)
			break;
		in.len += (size_t)got;
		while ((took = fetcher_message_next(in.data, in.len, &json, &n, &e)) > 0) {
			struct fetcher_answer a;

			if (fetcher_answer_parse(json, n, &a, &e) != 0) {
				fprintf(stderr, "%s\n%.*s\n", e.text, (int)n, json);
				buf_clear(&in);
				return 1;
			}
			printf("%.*s\n", (int)n, json);
			fetcher_answer_clear(&a);
			buf_drop(&in, (size_t)took);
			wanted--;
		}
	}
	buf_clear(&in);
	return wanted == 0 ? 0 : 1;
}

static struct fetcher_request
request(uint64_t id, char *const *arg)
{
	struct fetcher_request r = { .id = id, .author = arg[0], .deadline_ms = deadline_ms };

	if (strcmp(arg[1], "+identity") == 0) {
		r.op = FETCHER_IDENTITY;
		r.renew = strcmp(arg[2], "renew") == 0;
	} else if (strcmp(arg[1], "+records") == 0) {
		r.op = FETCHER_RECORDS;
		r.collection = arg[2];
		r.cursor = cursor;
		r.member = member;
		r.value = value;
		r.only = only;
	} else if (strcmp(arg[1], "+post") == 0) {
		r.op = FETCHER_POST;
		r.author = NULL;
		r.url = arg[0];
		r.body = arg[2];
		r.name = "1-0";
		r.signature = "a.b.c";
	} else {
		r.name = arg[1];
		r.version = arg[2];
		r.known_cid = known;
		r.last_rev = last_rev;
	}
	return r;
}

int
main(int argc, char **argv)
{
	int at = read_options(argc, argv), pair[2], i, rc;
	struct buf out = BUF_INIT;
	pid_t child;

	if (at < 0) {
		fprintf(stderr, "usage: fetch_probe [--KEY VALUE]... AUTHOR NAME VERSION...\n");
		return 2;
	}
	log_open("fetcher", LOG_DEBUG, false);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || (child = fork()) < 0)
		return 1;
	if (child == 0) {
		close(pair[0]);
		_exit(fetcher_main(pair[1], &conf));
	}
	close(pair[1]);
	for (i = 0; at + 3 * i < argc; i++) {
		struct fetcher_request r = request((uint64_t)i + 1, argv + at + 3 * i);

		fetcher_request_add(&out, &r);
	}
	if (write(pair[0], out.data, out.len) != (ssize_t)out.len)
		return 1;
	buf_clear(&out);
	rc = print_answers(pair[0], i);
	close(pair[0]);
	waitpid(child, NULL, 0);
	return rc;
}
