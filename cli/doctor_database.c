/* The ledger: does it open, is every page good, and does a scheduler look after it. */
#include "cli/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

#define MIB (1024LL * 1024)

enum { FRESH_MS = 15000, CHECKED_MIB = 1024, LOG_MIB = 256 };

static long long
mib_of(const char *path, const char *tail)
{
	char *whole = mem_fmt("%s%s", path, tail);
	struct stat st;
	long long n = stat(whole, &st) == 0 ? st.st_size / MIB : 0;

	free(whole);
	return n;
}

static void
tell_integrity(struct store *s, const struct conf *c, struct report *r)
{
	long long mib = mib_of(c->database, "");
	struct table *t = table_new();
	struct err e = ERR_INIT;
	const char *word;

	if (mib > CHECKED_MIB) {
		doctor_say(r, DOCTOR_OK, "integrity", "at-rund sql 'pragma integrity_check'", "not read through, for it has %lld MiB", mib);
	} else if (desk_query(s, "desk_scan_integrity", NULL, table_row, t, &e) != 0) {
		doctor_say(r, DOCTOR_FAILURE, "integrity", NULL, "%s", e.text);
	} else {
		word = table_cell(t, 0, "integrity_check");
		if (word != NULL && strcmp(word, "ok") == 0)
			doctor_say(r, DOCTOR_OK, "integrity", NULL, "every page is good, %lld MiB", mib);
		else
			doctor_say(r, DOCTOR_FAILURE, "integrity", NULL, "%s; keep the file, and restore a backup (at-rund restore)",
			    word != NULL ? word : "no answer");
	}
	table_free(t);
}

static void
tell_scheduler(struct store *s, struct report *r)
{
	struct table *t = table_new();
	struct err e = ERR_INIT;
	const char *seen, *ended;
	long long age;

	if (desk_query(s, "desk_status", NULL, table_row, t, &e) == 0 && table_rows(t) > 0) {
		seen = table_cell(t, 0, "seen_ms");
		ended = table_cell(t, 0, "ended");
		age = seen != NULL ? (long long)clock_wall_ms() - strtoll(seen, NULL, 10) : -1;
		if (ended != NULL && strcmp(ended, "0") == 0 && age >= 0 && age < FRESH_MS)
			doctor_say(r, DOCTOR_OK, "scheduler", NULL, "runs, seen %lld ms ago", age);
		else
			doctor_say(r, DOCTOR_WARNING, "scheduler", "at-rund serve", "does not run");
	} else {
		doctor_say(r, DOCTOR_WARNING, "scheduler", "at-rund serve", "never ran");
	}
	table_free(t);
}

void
doctor_database(const struct conf *c, struct report *r)
{
	struct err e = ERR_INIT;
	struct store *s;
	long long log;

	doctor_say(r, DOCTOR_OK, "sqlite", NULL, "version %s%s", store_library_version(), store_library_has_wal_bug() ?
	    ", which has the WAL-reset bug; at-rund works around it, so never write with another program" : "");
	if (access(c->database, F_OK) != 0) {
		doctor_say(r, DOCTOR_WARNING, "database", "at-rund serve", "there is no %s yet: the scheduler makes it", c->database);
		return;
	}
	s = store_open(c->database, STORE_DESK, &e);
	if (s == NULL) {
		doctor_say(r, DOCTOR_FAILURE, "database", NULL, "%s", e.text);
		return;
	}
	doctor_say(r, DOCTOR_OK, "database", NULL, "opens, schema %d", store_schema_version());
	log = mib_of(c->database, "-wal");
	if (log > LOG_MIB)
		doctor_say(r, DOCTOR_WARNING, "database log", NULL, "%s-wal has %lld MiB: a reader stands in it since long, or no "
		    "scheduler empties it", c->database, log);
	tell_integrity(s, c, r);
	tell_scheduler(s, r);
	store_close(s);
}
