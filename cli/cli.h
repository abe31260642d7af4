/*
 * What every command shares: the words it was called with, the config, the ledger, and how it speaks.  Data goes to
 * standard output (a table for a terminal, tab-separated without a head for a pipe, a JSON document with --json), talk
 * to standard error.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/store_desk.h"

struct buf;
struct conf;
struct err;
struct store;

struct cli {
	const struct command *command;
	bool json, tty, color;
	const char *config;            /* --config or NULL */
	const char *arg[8];            /* words after the command's name */
	int args;
	struct { const char *name, *value; } opt[16]; /* value "" for a switch */
	int opts;
};

/* One line of the table in main.c. */
struct command {
	const char *name;     /* "job list" */
	const char *words;    /* "ID", "[RUNTIME] [N]" */
	int min, max;         /* how many words */
	const char *options;  /* "follow|f state= limit=": = takes a value, |x a letter for it */
	const char *help;     /* one line */
	const char *examples; /* lines; shown first by --help */
	const char *more;     /* what the options mean; NULL: none */
	int (*run)(struct cli *c);
};

extern const struct command cli_commands[];
extern const char cli_everywhere[]; /* options of all commands, as command.options */

/* An entry "name=", "name|x", "name" of a list of options. */
struct cli_spec {
	char name[24];
	char letter; /* or '\0' */
	bool value;
};
/* Takes the next entry off a list; false at its end. */
bool cli_next_spec(const char **p, struct cli_spec *s);

/* The value of an option, "" for a switch that was given, NULL when it was not. */
const char *cli_option(const struct cli *c, const char *name);

/* A whole number in min..max, digits alone. */
bool cli_number(const char *word, long min, long max, int *out);

/* Says what went wrong and returns the exit code. */
int cli_fail(const struct cli *c, const struct err *e);
/* The same with a code of <sysexits.h>. */
int cli_fail_as(const struct cli *c, int code, const struct err *e);
/* A mistake in the words: EX_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Talk for people, on standard error; not with --json. */
void cli_say(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Loads the config (serve also prints its warnings); NULL with *code set (EX_CONFIG) after saying why. */
struct conf *cli_conf(const struct cli *c, bool missing_ok, int *code);
/* Opens the ledger for reading and orders; NULL with *code set. */
struct store *cli_store(const struct cli *c, const struct conf *conf, int *code);

/* Bytes that could move a terminal's cursor become \xNN; text that is safe stays as it is. */
void cli_clean(struct buf *out, const char *s);
void cli_print(const char *s); /* cleaned, to standard output */

/* Rows with named columns, collected and then printed. */
struct table;
struct table *table_new(void);
void table_free(struct table *t);
int table_row(void *t, const struct desk_cell *cells, int n); /* a desk_row_fn */
size_t table_rows(const struct table *t);
const char *table_cell(const struct table *t, size_t row, const char *name); /* NULL: NULL, or no such column */
/* {"name":[{...}]} with every column; people see those of a list, in its order (NULL: all).  A column whose name
 * ends in _json goes into JSON as it is. */
void table_print(const struct cli *c, const struct table *t, const char *name, const char *columns);
/* The first row: {...}, or a line for each column that has a value. */
void table_print_one(const struct cli *c, const struct table *t, const char *columns);
void table_json_row(const struct table *t, size_t row, struct buf *out);

/* "container, sandbox": the walls that the scheduler took, out of the rows of desk_runtimes; allocated, NULL: none. */
char *cli_walls(const struct table *runtimes);

/* Runs a statement into a fresh table; NULL after saying why, *code set. */
struct table *cli_query(const struct cli *c, struct store *s, const char *statement, const struct desk_arg *args, int *code);
/* Leaves an order, rings, waits up to 5 s for the scheduler's note and prints it. */
int cli_order(const struct cli *c, const struct conf *conf, struct store *s, const char *verb, const char *args_json);

/* "42" or "42-0123…": the row, or -1 after saying what is wrong (cmd_job.c). */
int64_t cli_job_row(const struct cli *c, const char *word);

int cmd_init(struct cli *c);
int cmd_serve(struct cli *c);
int cmd_build(struct cli *c);
int cmd_doctor(struct cli *c);
int cmd_runtime_list(struct cli *c);
int cmd_pool_status(struct cli *c);
int cmd_pool_warm(struct cli *c);
int cmd_pool_drain(struct cli *c);
int cmd_job_list(struct cli *c);
int cmd_job_show(struct cli *c);
int cmd_job_cancel(struct cli *c);
int cmd_job_logs(struct cli *c);
int cmd_callback_list(struct cli *c);
int cmd_callback_retry(struct cli *c);
int cmd_schedule_list(struct cli *c);
int cmd_schedule_history(struct cli *c);
int cmd_schedule_run(struct cli *c);
int cmd_schedule_pause(struct cli *c);
int cmd_schedule_resume(struct cli *c);
int cmd_enroll(struct cli *c);
int cmd_logs(struct cli *c);
int cmd_job_attempts(struct cli *c);
int cmd_job_failed(struct cli *c);
int cmd_job_retry(struct cli *c);
int cmd_job_redrive(struct cli *c);
int cmd_job_purge(struct cli *c);
int cmd_access_check(struct cli *c);
int cmd_access_show(struct cli *c);
int cmd_bundle_list(struct cli *c);
int cmd_bundle_show(struct cli *c);
int cmd_page_token(struct cli *c);
int cmd_page_list(struct cli *c);
int cmd_page_revoke(struct cli *c);
int cmd_publish(struct cli *c);
int cmd_whoami(struct cli *c);
int cmd_receipt_verify(struct cli *c);
int cmd_secret_key(struct cli *c);
int cmd_secret_list(struct cli *c);
int cmd_secret_seal(struct cli *c);
int cmd_secret_rotate(struct cli *c);
int cmd_secret_revoke(struct cli *c);
int cmd_status(struct cli *c);
int cmd_config_check(struct cli *c);
int cmd_config_show(struct cli *c);
int cmd_version(struct cli *c);
int cmd_web_config(struct cli *c);
int cmd_sql(struct cli *c);
int cmd_ensure(struct cli *c);
int cmd_completion(struct cli *c);
int cmd_backup(struct cli *c);
int cmd_restore(struct cli *c);
int cmd_systemd_install(struct cli *c);
int cmd_systemd_uninstall(struct cli *c);
int cmd_systemd_status(struct cli *c);

#endif
