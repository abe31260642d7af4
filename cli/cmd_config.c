/* config check, show; version. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

static void
check_json(const char *file, bool ok, const struct buf *problems, const struct err *e)
{
	const char *p = problems->len > 0 ? problems->data : "";
	struct buf b = BUF_INIT;
	bool first = true;

	buf_fmt(&b, "{\"ok\":%s,\"file\":", ok ? "true" : "false");
	buf_json_str(&b, file);
	buf_str(&b, ",\"problems\":[");
	if (*p == '\0' && !ok) {
		buf_json_str(&b, e->text);
	}
	while (*p != '\0') {
		size_t n = strcspn(p, "\n");

		buf_str(&b, first ? "" : ",");
		buf_json(&b, p, n);
		first = false;
		p += n + (p[n] == '\n');
	}
	buf_str(&b, "]}\n");
	fputs(b.data, stdout);
	buf_clear(&b);
}

int
cmd_config_check(struct cli *c)
{
	const char *path = c->args > 0 ? c->arg[0] : c->config;
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *conf = conf_load(path, false, &problems, &e);
	int code = conf != NULL ? 0 : EX_CONFIG;

	if (c->json) {
		check_json(conf != NULL ? conf->file : path, conf != NULL, &problems, &e);
	} else {
		if (conf == NULL && problems.len == 0)
			cli_fail_as(c, code, &e);
		for (char *p = problems.data, *end; problems.len > 0 && (end = strchr(p, '\n')) != NULL; p = end + 1) {
			*end = '\0';
			cli_print(p);
			putchar('\n');
		}
		if (conf != NULL) {
			cli_print(conf->file);
			puts(" is good.");
		}
	}
	conf_free(conf);
	buf_clear(&problems);
	return code;
}

int
cmd_config_show(struct cli *c)
{
	struct buf out = BUF_INIT, clean = BUF_INIT;
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);

	if (conf == NULL)
		return code;
	conf_show(conf, c->json, &out);
	for (char *p = out.data; *p != '\0';) { /* line by line: cli_clean would spell out their ends */
		size_t n = strcspn(p, "\n");
		char *line = mem_strn(p, n);

		cli_clean(&clean, line);
		buf_char(&clean, '\n');
		free(line);
		p += n + (p[n] == '\n');
	}
	fputs(clean.data, stdout);
	buf_clear(&clean);
	buf_clear(&out);
	conf_free(conf);
	return 0;
}

int
cmd_version(struct cli *c)
{
	if (c->json)
		printf("{\"version\":\"%s\",\"schema\":%d,\"sqlite\":\"%s\",\"sqliteWalBug\":%s}\n", AT_RUND_VERSION,
		    store_schema_version(), store_library_version(), store_library_has_wal_bug() ? "true" : "false");
	else
		printf("at-rund %s\nschema %d\nSQLite %s%s\n", AT_RUND_VERSION, store_schema_version(), store_library_version(),
		    store_library_has_wal_bug() ? " (has the WAL-reset bug, which at-rund works around)" : "");
	return 0;
}
