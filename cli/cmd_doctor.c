/* doctor: what works here, what does not, and what mends it. */
#include "cli/cli.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli/doctor.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/http.h"
#include "lib/mem.h"

struct finding {
	enum verdict verdict;
	char *what, *text, *mend;
};

struct report {
	struct finding *item;
	size_t n;
};

/* In the order in which they are told. */
static const struct {
	const char *name;
	doctor_check_fn *fn;
} checks[] = {
	{ "config", doctor_config },
	{ "home", doctor_home },
	{ "database", doctor_database },
	{ "kernel", doctor_kernel },
	{ "clock", doctor_clock },
	{ "walls", doctor_walls },
	{ "network", doctor_network },
	{ "web", doctor_web },
	{ "service", doctor_service },
	{ "otlp", doctor_otlp },
};
enum { CHECKS = sizeof checks / sizeof checks[0] };

static const char *const verdicts[DOCTOR_VERDICTS] = { "ok", "warning", "failure" };

struct run {
	const struct conf *conf;
	doctor_check_fn *fn;
	struct report report;
	pthread_t thread;
	bool threaded;
};

/* What follows a command in an explanation is no part of it. */
static size_t
command_length(const char *s)
{
	size_t n = strcspn(s, ";)");
	const char *comma = strstr(s, ", ");

	return comma != NULL && (size_t)(comma - s) < n ? (size_t)(comma - s) : n;
}

void
doctor_say(struct report *r, enum verdict v, const char *what, const char *mend, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->item = mem_grow(r->item, (r->n + 1) * sizeof *r->item);
	r->item[r->n++] = (struct finding){ v, mem_str(what), mem_str(text),
		mend != NULL ? mem_strn(mend, command_length(mend)) : NULL };
}

const char *
doctor_mend(const char *text)
{
	static const char *const commands[] = { "apt install ", "sysctl ", "at-rund ", "usermod " };
	const char *found = NULL;

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		const char *p = strstr(text, commands[i]);

		if (p != NULL && p > text && p[-1] == ' ' && (found == NULL || p < found))
			found = p;
	}
	return found;
}

static void *
work(void *arg)
{
	struct run *r = arg;

	r->fn(r->conf, &r->report);
	return NULL;
}

static void
run_all(const struct conf *c, struct run *runs)
{
	for (size_t i = 0; i < CHECKS; i++) {
		runs[i] = (struct run){ .conf = c, .fn = checks[i].fn };
		runs[i].threaded = pthread_create(&runs[i].thread, NULL, work, &runs[i]) == 0;
		if (!runs[i].threaded)
			work(&runs[i]);
	}
	for (size_t i = 0; i < CHECKS; i++)
		if (runs[i].threaded)
			pthread_join(runs[i].thread, NULL);
}

static void
add_rows(struct table *t, const char *check, const struct report *r, size_t count[DOCTOR_VERDICTS])
{
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->item[i];
		const struct desk_cell cells[] = { { "verdict", verdicts[f->verdict], false }, { "check", check, false },
			{ "what", f->what, false }, { "text", f->text, false }, { "mend", f->mend, false } };

		count[f->verdict]++;
		table_row(t, cells, sizeof cells / sizeof cells[0]);
	}
}

/* A line each, the command that mends it below: what one wants to copy stands alone. */
static void
print_lines(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->item[i];

		printf("%-8s %s: ", verdicts[f->verdict], f->what);
		cli_print(f->text);
		putchar('\n');
		if (f->mend != NULL) {
			fputs("         → ", stdout);
			cli_print(f->mend);
			putchar('\n');
		}
	}
}

static void
report_clear(struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->item[i].what);
		free(r->item[i].text);
		free(r->item[i].mend);
	}
	free(r->item);
}

int
cmd_doctor(struct cli *c)
{
	size_t count[DOCTOR_VERDICTS] = { 0 };
	struct table *t = table_new();
	struct run runs[CHECKS];
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);

	if (conf == NULL)
		goto out;
	http_setup();
	run_all(conf, runs);
	for (size_t i = 0; i < CHECKS; i++) {
		add_rows(t, checks[i].name, &runs[i].report, count);
		if (!c->json)
			print_lines(&runs[i].report);
		report_clear(&runs[i].report);
	}
	if (c->json)
		table_print(c, t, "checks", NULL);
	else
		printf("%zu ok, %zu warnings, %zu failures\n", count[DOCTOR_OK], count[DOCTOR_WARNING], count[DOCTOR_FAILURE]);
	code = count[DOCTOR_FAILURE] > 0 ? EX_UNAVAILABLE : 0;
out:
	table_free(t);
	conf_free(conf);
	return code;
}
