/* pool status, warm, drain. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"

int
cmd_pool_status(struct cli *c)
{
	const struct desk_arg args[] = { { ":all", "0" }, { ":limit", NULL }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_instances", args, &code)) != NULL)
		table_print(c, t, "instances", "instance runtime wall state pid calls bundle started_at used_at");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

static int
leave(struct cli *c, const char *verb, const char *args_json)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL)
		code = cli_order(c, conf, s, verb, args_json);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_pool_warm(struct cli *c)
{
	const char *runtime = c->args > 0 ? c->arg[0] : NULL, *count = c->args > 1 ? c->arg[1] : "1";
	struct buf args = BUF_INIT;
	int code, n;

	/* `pool warm 2` means two of each. */
	if (c->args == 1 && strspn(runtime, "0123456789") == strlen(runtime)) {
		count = runtime;
		runtime = NULL;
	}
	if (!cli_number(count, 0, 64, &n))
		return cli_usage(c, "expected how many instances, a number up to 64, not %.40s", count);
	buf_fmt(&args, "{\"n\":%d", n);
	if (runtime != NULL) {
		buf_str(&args, ",\"runtime\":");
		buf_json_str(&args, runtime);
	}
	buf_char(&args, '}');
	code = leave(c, "warm", args.data);
	buf_clear(&args);
	return code;
}

int
cmd_pool_drain(struct cli *c)
{
	struct buf args = BUF_INIT;
	int code;

	buf_char(&args, '{');
	if (c->args > 0) {
		buf_str(&args, "\"runtime\":");
		buf_json_str(&args, c->arg[0]);
	}
	buf_char(&args, '}');
	code = leave(c, "drain", args.data);
	buf_clear(&args);
	return code;
}
