#include "scheduler/say.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "scheduler/catalog.h"
#include "scheduler/spans.h"
#include "scheduler/turn.h"

static void
add_names(struct buf *b, const struct conf_list *names, bool *first)
{
	size_t k;

	for (k = 0; k < names->n; k++) {
		const char *value = getenv(names->item[k]);

		if (value == NULL && strcmp(names->item[k], "LANG") == 0)
			value = "C.UTF-8";
		if (value == NULL)
			continue;
		if (!*first)
			buf_char(b, ',');
		*first = false;
		buf_json_str(b, names->item[k]);
		buf_char(b, ':');
		buf_json_str(b, value);
	}
}

/* The names the bundle may see (backend->permit has looked at them), with the values of this process.  A bundle of [dev]
 * bundles has no author who could seal anything: its secrets are the developer's environment. */
static void
add_env(struct buf *b, const struct code *code)
{
	bool first = true;

	add_names(b, &code->bundle->permissions.env, &first);
	if (code->local)
		add_names(b, &code->bundle->secrets, &first);
}

void
say_load(struct buf *b, const struct code *code, const char *dir, const char *name)
{
	buf_str(b, "{\"dir\":");
	buf_json_str(b, dir);
	buf_str(b, ",\"entry\":");
	buf_json_str(b, code->entry);
	buf_str(b, ",\"env\":{");
	add_env(b, code);
	buf_str(b, "},\"bundle\":");
	buf_json_str(b, name);
	buf_str(b, ",\"cid\":");
	buf_json_str(b, code->cid);
	buf_char(b, '}');
}

void
say_call(struct buf *b, const struct job *j)
{
	char id[JOB_ID_LEN + 1];
	int64_t left = j->deadline_ms - clock_mono_ms();

	job_id_print(&j->w.id, id);
	buf_str(b, "{\"job\":\"");
	buf_str(b, id);
	buf_str(b, "\",\"endpoint\":");
	buf_json_str(b, j->w.endpoint);
	buf_str(b, ",\"method\":");
	buf_json_str(b, j->w.method);
	buf_str(b, ",\"url\":");
	buf_json_str(b, j->w.url);
	buf_str(b, ",\"path\":");
	buf_json_str(b, j->w.path);
	buf_str(b, ",\"query\":");
	buf_json_str(b, j->w.query);
	buf_str(b, ",\"headers\":");
	spans_headers(j, j->w.headers_json, b);
	buf_str(b, ",\"caller\":");
	buf_json_str(b, j->w.caller);
	buf_fmt(b, ",\"deadlineMs\":%lld}", (long long)(left > 1 ? left : 1));
}
