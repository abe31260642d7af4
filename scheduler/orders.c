#include "scheduler/orders.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/store_work.h"
#include "scheduler/callbacks.h"
#include "scheduler/dispatch.h"
#include "scheduler/enrol.h"
#include "scheduler/redrive.h"
#include "scheduler/schedule.h"
#include "scheduler/vault.h"

#define DEPTH 4

static void
order_cancel(const cJSON *args, char *note, size_t n)
{
	struct err e = ERR_INIT;
	int64_t row = 0;

	if (json_int(args, "job", 1, INT64_MAX >> 10, &row, &e) != 0 || row == 0)
		snprintf(note, n, "no job is named: {\"job\": 42}");
	else
		snprintf(note, n, "%s", dispatch_cancel(row));
}

static void
order_drain(const cJSON *args, char *note, size_t n)
{
	int ended = dispatch_retire(json_string(args, "runtime"));

	snprintf(note, n, "%d instances end", ended);
}

static void
order_warm(const cJSON *args, char *note, size_t n)
{
	const char *runtime = json_string(args, "runtime");
	struct err e = ERR_INIT;
	int64_t count = 1;
	int kept;

	if (json_int(args, "n", 0, 64, &count, &e) != 0) {
		snprintf(note, n, "%s", e.text);
		return;
	}
	kept = dispatch_warm(runtime, (int)count);
	if (kept < 0)
		snprintf(note, n, "no such runtime is offered here");
	else
		snprintf(note, n, "%d blanks are kept until the next start", kept);
}

static void
order_forget(const cJSON *args, char *note, size_t n)
{
	snprintf(note, n, "%d names will be asked for again", dispatch_forget(json_string(args, "did"),
	    json_string(args, "name")));
}

static void
order_keys(const cJSON *args, char *note, size_t n)
{
	snprintf(note, n, "%s", vault_reload(json_string(args, "revoked")));
}

static const struct {
	const char *verb;
	void (*fn)(const cJSON *args, char *note, size_t n);
} verbs[] = {
	{ "cancel", order_cancel },
	{ "drain", order_drain },
	{ "stop-instances", order_drain },
	{ "warm", order_warm },
	{ "forget", order_forget },
	{ "retry", redrive_one },
	{ "enroll", enrol_order },
	{ "unenroll", enrol_order_end },
	{ "schedule-run", schedule_order_run },
	{ "schedule-pause", schedule_order_pause },
	{ "schedule-resume", schedule_order_resume },
	{ "keys", order_keys },
	{ "callback-retry", callbacks_order },
};

/* Orders that take more than one turn. */
static const struct {
	const char *verb;
	bool (*step)(int64_t id, const char *verb, const cJSON *args, char *note, size_t n);
} long_verbs[] = {
	{ "redrive", redrive_step },
	{ "purge", redrive_step },
};

/* False: it goes on in the next turn. */
static bool
carry_out(int64_t id, const char *verb, const cJSON *args, char *note, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i].verb, verb) == 0)
			verbs[i].fn(args, note, n);
	for (i = 0; i < sizeof long_verbs / sizeof long_verbs[0]; i++)
		if (strcmp(long_verbs[i].verb, verb) == 0)
			return long_verbs[i].step(id, verb, args, note, n);
	return true;
}

static void
take(void *arg, int64_t id, const char *verb, const char *args_json)
{
	struct err e = ERR_INIT;
	cJSON *args = json_parse(args_json, strlen(args_json), DEPTH, &e);
	char note[200] = "not understood by this version";
	bool *more = arg;

	if (args == NULL)
		snprintf(note, sizeof note, "%.180s", e.text);
	else if (!carry_out(id, verb, args, note, sizeof note)) {
		*more = true;
		cJSON_Delete(args);
		return;
	}
	log_info("order", "id=%lld verb=%s note=%s", (long long)id, verb, log_q(note));
	dispatch_order_done(id, note);
	cJSON_Delete(args);
}

int
orders_take(struct store *s, bool *more, struct err *e)
{
	*more = false;
	return work_orders(s, take, more, e);
}
