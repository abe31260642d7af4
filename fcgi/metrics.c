/*
 * /metrics in the text format of Prometheus: what the scheduler counted (its lines come from the ledger with its heartbeat)
 * and what is so at this moment.  Everything read here costs the same however long the history is.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fcgi/gauge.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"

static bool
from_here(const char *peer)
{
	return peer != NULL && (strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 || strncmp(peer, "::ffff:127.", 11) == 0);
}

static void
value(struct buf *b, const char *name, const char *help, long long n)
{
	buf_fmt(b, "# HELP %s %s\n# TYPE %s gauge\n%s %lld\n", name, help, name, name, n);
}

static void
file_size(struct buf *b, const char *path, const char *tail, const char *label)
{
	char *whole = mem_fmt("%s%s", path, tail);
	struct stat st;

	buf_fmt(b, "at_rund_database_bytes{file=\"%s\"} %lld\n", label, stat(whole, &st) == 0 ? (long long)st.st_size : 0);
	free(whole);
}

static void
now(struct buf *b, const struct conf *c, const struct front_pulse *p)
{
	bool alive = p->any && !p->ended && p->this_boot;

	buf_str(b, "# HELP at_rund_info Of this program.\n# TYPE at_rund_info gauge\n");
	buf_fmt(b, "at_rund_info{version=\"%s\",sqlite=\"%s\"} 1\n", AT_RUND_VERSION, store_library_version());
	value(b, "at_rund_scheduler_running", "1 while a scheduler has neither ended nor left another boot's heartbeat.", alive);
	value(b, "at_rund_scheduler_draining", "1 while it takes no more jobs.", p->draining);
	value(b, "at_rund_heartbeat_age_milliseconds", "Since the scheduler was last seen; -1: not in this boot.",
	    p->any && p->this_boot ? (long long)(clock_mono_ms() - p->seen_mono) : -1);
	buf_str(b, "# HELP at_rund_jobs_open Jobs that are not done.\n# TYPE at_rund_jobs_open gauge\n");
	buf_fmt(b, "at_rund_jobs_open{state=\"queued\"} %lld\nat_rund_jobs_open{state=\"running\"} %lld\n", (long long)p->queued,
	    (long long)p->running);
	value(b, "at_rund_instances", "Live instances.", (long long)p->instances);
	buf_str(b, "# HELP at_rund_database_bytes Size of the database and its log.\n# TYPE at_rund_database_bytes gauge\n");
	file_size(b, c->database, "", "main");
	file_size(b, c->database, "-wal", "log");
}

int
metrics_show(struct call *c, struct err *e)
{
	const struct conf *conf = c->door->conf;
	struct front_pulse pulse;
	struct store *s;

	if (strcmp(conf->web.metrics, "off") == 0)
		return err_named(e, ERR_NOTFOUND, "NotFound", "metrics are off (web.metrics)");
	if (strcmp(conf->web.metrics, "loopback") == 0 && !from_here(c->request->peer))
		return err_named(e, ERR_DENIED, "Forbidden", "metrics are for this machine only (web.metrics = loopback)");
	s = waiter_store(c->waiter, e);
	if (s == NULL || front_pulse(s, &pulse, e) != 0 || front_counts(s, &pulse, e) != 0 || front_tally(s, &c->reply.body, e) != 0)
		return -1;
	now(&c->reply.body, conf, &pulse);
	reply_type(&c->reply, "text/plain; version=0.0.4; charset=utf-8");
	return 0;
}
