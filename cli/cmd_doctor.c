/* doctor: what works here, what does not, and what mends it. */
#include "cli/cli.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/owner.h"
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

/* What another user has to try, tried in a process of his: it is sent off while we have one thread. */
static struct {
	pid_t pid;
	int fd;
} errand = { -1, -1 };

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

/* Findings as a child of ours tells them: a letter for the verdict, then what, text and mend, each with its NUL. */
static void
tell(int fd, const struct report *r)
{
	struct buf b = BUF_INIT;
	size_t done = 0;
	ssize_t n = 1;

	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->item[i];

		buf_char(&b, (char)('0' + (int)f->verdict));
		buf_add(&b, f->what, strlen(f->what) + 1);
		buf_add(&b, f->text, strlen(f->text) + 1);
		buf_add(&b, f->mend != NULL ? f->mend : "", f->mend != NULL ? strlen(f->mend) + 1 : 1);
	}
	for (; done < b.len && n > 0; done += n > 0 ? (size_t)n : 0)
		n = write(fd, b.data + done, b.len - done);
	buf_clear(&b);
}

static void
errand_send(const struct conf *c)
{
	struct report r = { NULL, 0 };
	int ends[2];

	if (!owner_is_another(c) || pipe2(ends, O_CLOEXEC) != 0)
		return;
	errand.pid = fork();
	if (errand.pid == 0) {
		close(ends[0]);
		owner_become(c);
		doctor_walls(c, &r);
		tell(ends[1], &r);
		_exit(0);
	}
	close(ends[1]);
	errand.fd = ends[0];
}

static void
errand_return(struct report *r)
{
	struct buf b = BUF_INIT;
	const char *part[3], *p, *end;
	ssize_t n;

	while ((n = read(errand.fd, buf_room(&b, 4096), 4096)) > 0)
		b.len += (size_t)n;
	close(errand.fd);
	waitpid(errand.pid, NULL, 0);
	for (p = b.data, end = p + b.len; p < end; p = part[2] + strlen(part[2]) + 1) {
		part[0] = p + 1;
		part[1] = part[0] + strlen(part[0]) + 1;
		part[2] = part[1] + strlen(part[1]) + 1;
		doctor_say(r, (enum verdict)(*p - '0'), part[0], part[2][0] != '\0' ? part[2] : NULL, "%s", part[1]);
	}
	if (r->n == 0)
		doctor_say(r, DOCTOR_FAILURE, "walls", NULL, "whoever owns the home could not try them");
	buf_clear(&b);
}

static void *
work(void *arg)
{
	struct run *r = arg;

	if (r->fn == doctor_walls && errand.fd >= 0)
		errand_return(&r->report);
	else
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
	errand_send(conf);
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
