#include "scheduler/redrive.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/store_retry.h"
#include "scheduler/callers.h"
#include "scheduler/shop.h"

/* The order that is worked off, and how far; a scheduler that starts anew begins at its front again, which does no harm: what
 * was started again already is left alone. */
static struct {
	int64_t id, after;
	long long done;
} at;

void
redrive_one(const cJSON *args, char *note, size_t n)
{
	struct err e = ERR_INIT;
	char id[JOB_ID_LEN + 1];
	struct job_id made;
	int64_t row = 0;

	if (json_int(args, "job", 1, INT64_MAX >> 10, &row, &e) != 0 || row == 0) {
		snprintf(note, n, "no job is named: {\"job\": 42}");
	} else if (work_rerun(shop.s.store, row, shop.conf->limits.timeout, clock_wall_ms(), &made, &e) != 0) {
		snprintf(note, n, "%s", e.text);
	} else {
		job_id_print(&made, id);
		snprintf(note, n, "again as job %s", id);
		shop.look = true;
	}
}

static int
read_filter(const cJSON *args, struct work_failed *f, struct err *e)
{
	*f = (struct work_failed){ .author = json_string(args, "author"), .bundle = json_string(args, "bundle"),
		.outcome = json_string(args, "outcome") };
	return json_int(args, "since", 0, INT64_MAX >> 10, &f->since, e) != 0 ||
	    json_int(args, "before", 0, INT64_MAX >> 10, &f->before, e) != 0 ||
	    json_bool(args, "poisoned", &f->poisoned, e) != 0 ? -1 : 0;
}

bool
redrive_step(int64_t id, const char *verb, const cJSON *args, char *note, size_t n)
{
	bool drive = strcmp(verb, "redrive") == 0;
	struct err e = ERR_INIT;
	struct work_failed f;
	int some;

	if (at.id != id) {
		at.id = id;
		at.after = at.done = 0;
	}
	if (read_filter(args, &f, &e) != 0) {
		snprintf(note, n, "%s", e.text);
		return true;
	}
	f.poisoned = f.poisoned || !drive;
	callers_keep(); /* before requests go with what stands in them */
	some = drive ?
	    work_redrive(shop.s.store, &f, &at.after, shop.conf->limits.timeout, clock_wall_ms(), &e) :
	    work_purge(shop.s.store, &f, &at.after, &e);
	if (some < 0) {
		snprintf(note, n, "after %lld jobs: %s", at.done, e.text);
		return true;
	}
	at.done += some;
	shop.look = true;
	if (at.after > 0)
		return false;
	snprintf(note, n, "%lld jobs %s", at.done, drive ? "are started again" : "are gone");
	return true;
}
