/*
 * The page at /: who runs this, whether it is well, what runs here and for whom, and how to deploy to it.  For everybody, so
 * nothing on it is anybody's secret; names that strangers chose do not come here at all.
 */
#include <stdlib.h>
#include <string.h>

#include "fcgi/gauge.h"
#include "fcgi/header.h"
#include "fcgi/html.h"
#include "fcgi/page.h"
#include "fcgi/page_chart.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/store_desk.h"
#include "lib/store_secret.h"

#define RUNTIMES_MAX 16
#define KEY_MAX      64

struct runtime_line {
	char *name, *mime, *version, *wall;
};

struct home {
	struct front_pulse pulse;
	bool well;
	struct err why;                /* not well */
	char key[KEY_MAX], receipts[KEY_MAX]; /* the newest, "" for none */
	struct runtime_line runtime[RUNTIMES_MAX];
	int runtimes;
	int64_t instances[4];          /* busy, warm, blank, starting */
	struct chart chart;
};

/* --- gathering --- */

static void
take_key(void *arg, const struct store_key *k)
{
	struct home *h = arg;
	char *to = strcmp(k->use, "secrets") == 0 ? h->key : h->receipts;

	if (to[0] == '\0' && !k->gone && strlen(k->key) < KEY_MAX)
		memcpy(to, k->key, strlen(k->key) + 1);
}

static int
take_runtime(void *arg, const struct desk_cell *cells, int n)
{
	struct home *h = arg;
	struct runtime_line *r = &h->runtime[h->runtimes];
	int i;

	if (h->runtimes == RUNTIMES_MAX)
		return 1;
	h->runtimes++;
	for (i = 0; i < n; i++) {
		const struct {
			const char *name;
			char **to;
		} columns[] = { { "name", &r->name }, { "mime_types", &r->mime }, { "version", &r->version }, { "wall", &r->wall } };
		size_t k;

		for (k = 0; k < sizeof columns / sizeof *columns; k++)
			if (strcmp(cells[i].name, columns[k].name) == 0 && cells[i].text != NULL)
				*columns[k].to = mem_str(cells[i].text);
	}
	return 0;
}

/* runtime, state, instances, calls */
static int
take_pool(void *arg, const struct desk_cell *cells, int n)
{
	static const char *const words[] = { "busy", "warm", "blank" };
	struct home *h = arg;
	size_t i = 0;

	if (n < 3 || cells[1].text == NULL || cells[2].text == NULL)
		return 0;
	while (i < 3 && strcmp(words[i], cells[1].text) != 0)
		i++;
	h->instances[i] += strtoll(cells[2].text, NULL, 10);
	return 0;
}

static int
gather(struct call *c, struct home *h, struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);

	if (s == NULL || gauge_pulse(c->door->gauge, s, &h->pulse, e) != 0)
		return -1;
	h->well = gauge_alive(c->door->gauge, s, &h->why) == 0;
	chart_init(&h->chart, clock_wall_ms());
	if (front_keys(s, take_key, h, e) != 0 || desk_query(s, "desk_runtimes", NULL, take_runtime, h, e) != 0 ||
	    desk_query(s, "desk_pool", NULL, take_pool, h, e) != 0 ||
	    front_traffic(s, h->chart.since, chart_take, &h->chart, e) != 0)
		return -1;
	return 0;
}

static void
home_clear(struct home *h)
{
	int i;

	for (i = 0; i < h->runtimes; i++) {
		free(h->runtime[i].name);
		free(h->runtime[i].mime);
		free(h->runtime[i].version);
		free(h->runtime[i].wall);
	}
}

/* --- who --- */

static void
fact(struct buf *b, const char *what, const char *value)
{
	if (value != NULL && value[0] != '\0')
		html(b, "<div><dt>%s</dt><dd><code>%s</code></dd></div>", what, value);
}

/* A long name may be broken before its dots. */
static void
with_breaks(struct buf *b, const char *name)
{
	while (*name != '\0') {
		size_t n = 1 + strcspn(name + 1, ".");

		html_bytes(b, name, n);
		name += n;
		if (*name != '\0')
			buf_str(b, "<wbr>");
	}
}

static void
show_who(const struct conf *conf, const struct home *h, struct buf *b)
{
	const char *name = conf->handle != NULL ? conf->handle : conf->did != NULL ? conf->did : "A runner";

	buf_str(b, "<section class=\"hero\">\n");
	if (h->well)
		buf_str(b, "<p class=\"pill good\">Taking calls</p>");
	else
		html(b, "<p class=\"pill bad\">%s</p>", h->pulse.any && h->pulse.draining && !h->pulse.ended ? "Draining" : "Not running");
	buf_str(b, "\n<h1>");
	with_breaks(b, name);
	buf_str(b, "</h1>\n<p class=\"lead\">A runner of the AT Protocol. It takes small functions out of their authors\xe2\x80\x99 "
	    "repositories, proves that they are theirs, runs them behind a wall, and answers.</p>\n");
	if (!h->well)
		html(b, "<p class=\"note\">%s.</p>\n", h->why.text);
	buf_str(b, "<dl class=\"facts\">");
	fact(b, "Runner", conf->did);
	fact(b, "Kept by", conf->operator != NULL ? conf->operator : conf->handle);
	if (conf->contact != NULL && conf->contact[0] != '\0')
		html(b, "<div><dt>Contact</dt><dd>%s</dd></div>", conf->contact);
	buf_str(b, "</dl></section>\n");
}

/* --- how it is doing --- */

static void
tile_begin(struct buf *b, const char *word)
{
	html(b, "<div class=\"tile\"><dt>%s</dt><dd>", word);
}

static void
tile(struct buf *b, const char *word, int64_t n)
{
	tile_begin(b, word);
	html_count(b, n);
	buf_str(b, "</dd></div>");
}

static void
tile_ms(struct buf *b, const char *word, const struct traffic *t, double share)
{
	tile_begin(b, word);
	if (t->waited > 0)
		html_ms(b, chart_share_ms(t, share));
	else
		buf_str(b, "\xe2\x80\x93");
	buf_str(b, "</dd></div>");
}

/* "99.97 %": cut, not rounded, so that 100 % means all. */
static void
tile_well(struct buf *b, const struct traffic *t)
{
	int64_t ran = chart_calls(t) - chart_of(t, CHART_NOT_RUN);

	tile_begin(b, "Ended well, of what ran");
	if (ran == 0)
		buf_str(b, "\xe2\x80\x93");
	else if (t->outcome[OUTCOME_OK] == ran)
		buf_str(b, "100\xc2\xa0%");
	else
		buf_fmt(b, "%lld.%02lld\xc2\xa0%%", (long long)(t->outcome[OUTCOME_OK] * 100 / ran),
		    (long long)(t->outcome[OUTCOME_OK] * 10000 / ran % 100));
	buf_str(b, "</dd></div>");
}

static void
show_health(const struct home *h, struct buf *b)
{
	const struct traffic *all = &h->chart.all;
	struct chart_part parts[CHART_SORTS];
	const struct chart_part starts[] = { { "ok", "on a warm instance", all->start[START_WARM] },
		{ "limit", "on a blank one", all->start[START_BLANK] }, { "failed", "cold", all->start[START_COLD] } };
	int i;

	buf_str(b, "<section aria-labelledby=\"health\"><h2 id=\"health\">The last 24 hours</h2>\n<dl class=\"tiles\">");
	tile(b, "Calls", chart_calls(all));
	tile_well(b, all);
	tile_ms(b, "Half answered within", all, 0.5);
	tile_ms(b, "19 of 20 within", all, 0.95);
	tile(b, "Running now", h->pulse.running);
	tile(b, "Waiting now", h->pulse.queued);
	buf_str(b, "</dl>\n<div class=\"charts\">\n");
	chart_draw_calls(&h->chart, b);
	chart_draw_waits(&h->chart, b);
	buf_str(b, "</div>\n");
	if (chart_calls(all) > 0) {
		buf_str(b, "<div class=\"halves\"><div><h3>What became of them</h3>");
		for (i = 0; i < CHART_SORTS; i++)
			parts[i] = (struct chart_part){ chart_class((enum chart_sort)i), chart_word((enum chart_sort)i),
				chart_of(all, (enum chart_sort)i) };
		chart_bar(parts, CHART_SORTS, "Shares of what became of the calls", b);
		buf_str(b, "</div><div><h3>How they were started</h3>");
		chart_bar(starts, 3, "Shares of warm, blank and cold starts", b);
		buf_str(b, "</div></div>\n");
	}
	chart_table(&h->chart, b);
	buf_str(b, "</section>\n");
}

/* --- what runs here --- */

static const struct {
	const char *name, *means;
} walls[] = {
	{ "none", "No wall: the process itself, with flags, Landlock and resource limits" },
	{ "sandbox", "Sandbox: namespaces of its own, a list of allowed system calls, Landlock, resource limits" },
	{ "container", "Container: a read-only root, no capabilities, user ids of its own, no network but the gate" },
	{ "firecracker", "MicroVM: a machine and a kernel of its own" },
};

static const char *
wall_means(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof walls / sizeof *walls; i++)
		if (strcmp(walls[i].name, name) == 0)
			return walls[i].means;
	return name;
}

static void
show_runtimes(const struct home *h, struct buf *b)
{
	int i;

	buf_str(b, "<ul class=\"cards\">");
	for (i = 0; i < h->runtimes; i++) {
		const struct runtime_line *r = &h->runtime[i];

		html(b, "<li class=\"card\"><h3>%s %s</h3><p>%s</p><p class=\"soft\">", r->name, r->version != NULL ? r->version : "",
		    r->wall != NULL ? wall_means(r->wall) : "Not available at the moment");
		html_text(b, r->mime);
		buf_str(b, "</p></li>\n");
	}
	if (h->runtimes == 0)
		buf_str(b, "<li class=\"card\"><p>No runtime yet: the scheduler has not started here.</p></li>");
	buf_str(b, "</ul>\n");
}

static void
limit(struct buf *b, const char *word, int64_t n, void (*print)(int64_t n, char out[32]))
{
	char text[32];

	print(n, text);
	html(b, "<div><dt>%s</dt><dd>%s</dd></div>", word, text);
}

static void
plain_number(int64_t n, char out[32])
{
	struct buf b = BUF_INIT;

	html_count(&b, n);
	memcpy(out, b.data, b.len < 31 ? b.len + 1 : 31);
	buf_clear(&b);
}

static void
show_limits(const struct conf *c, struct buf *b)
{
	buf_str(b, "<h3>Limits of a call</h3><dl class=\"grid\">");
	limit(b, "Time", c->limits.timeout, conf_duration_print);
	limit(b, "Memory", c->limits.memory, conf_size_print);
	limit(b, "Request", c->limits.request, conf_size_print);
	limit(b, "Answer", c->limits.response, conf_size_print);
	limit(b, "Network", c->limits.egress, conf_size_print);
	limit(b, "Scratch files", c->limits.scratch, conf_size_print);
	limit(b, "Log", c->limits.log, conf_size_print);
	limit(b, "Code", c->atproto.blob, conf_size_print);
	limit(b, "Waiting, of an author", c->limits.per_author, plain_number);
	limit(b, "Waiting, of a bundle", c->limits.per_bundle, plain_number);
	buf_str(b, "</dl>\n");
}

static void
show_what(const struct conf *conf, const struct home *h, struct buf *b)
{
	const struct chart_part pool[] = { { "failed", "busy", h->instances[0] }, { "ok", "warm", h->instances[1] },
		{ "not-run", "blank", h->instances[2] }, { "limit", "starting", h->instances[3] } };

	buf_str(b, "<section aria-labelledby=\"what\"><h2 id=\"what\">What runs here</h2>\n");
	show_runtimes(h, b);
	html(b, "<h3>The pool now</h3><p>%lld of at most %lld instances live.</p>",
	    (long long)(h->instances[0] + h->instances[1] + h->instances[2] + h->instances[3]), (long long)conf->pool.max);
	chart_bar(pool, 4, "Instances by state", b);
	show_limits(conf, b);
	buf_str(b, "</section>\n");
}

/* --- for whom --- */

static const struct {
	const char *mode, *hosted, *calls;
} modes[] = {
	{ "open", "Anybody\xe2\x80\x99s bundles run here, but those of authors on a blocklist.",
	    "Anybody may call, also without saying who." },
	{ "known", "", "Anybody may call who proves who they are with a token of their account." },
	{ "allowlist", "Bundles of authors on a list that the operator keeps.", "Accounts on a list that the operator keeps." },
	{ "blocklist", "Anybody\xe2\x80\x99s bundles, but those of authors on a blocklist.", "Anybody, but accounts on a blocklist." },
	{ "follows", "Bundles of people whom the operator follows.", "People whom the operator follows." },
	{ "mutuals", "Bundles of people whom the operator follows and who follow back.",
	    "People whom the operator follows and who follow back." },
	{ "list", "Bundles of people on a public list of the operator\xe2\x80\x99s choice.",
	    "People on a public list of the operator\xe2\x80\x99s choice." },
};

static const char *
in_words(const char *mode, bool calls)
{
	size_t i;

	for (i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(modes[i].mode, mode) == 0)
			return calls ? modes[i].calls : modes[i].hosted;
	return mode;
}

static void
show_whom(const struct conf *c, struct buf *b)
{
	html(b, "<section aria-labelledby=\"whom\"><h2 id=\"whom\">Who may use it</h2>\n<div class=\"halves\">"
	    "<div class=\"card\"><h3>Whose bundles run here</h3><p>%s</p><p class=\"soft\">access.mode = <code>%s</code></p></div>\n"
	    "<div class=\"card\"><h3>Who may call them</h3><p>%s</p><p class=\"soft\">callers.mode = <code>%s</code></p></div></div>\n",
	    in_words(c->access.mode, false), c->access.mode, in_words(c->callers.mode, true), c->callers.mode);
	if (strcmp(c->access.mode, "list") == 0 && c->access.list != NULL)
		html(b, "<p>The list: <code>%s</code></p>\n", c->access.list);
	buf_str(b, "</section>\n");
}

/* --- deploy --- */

/* What the example is written in: the first of these that runs here. */
static const struct {
	const char *runtime, *mime, *file, *type, *code;
} samples[] = {
	{ "node", "application/javascript+node", "hello.mjs", "application/javascript",
	    "export function hello(request) {\n"
	    "  return { hello: new URL(request.url).searchParams.get(\"name\") ?? \"world\" };\n}\n" },
	{ "deno", "application/javascript+deno", "hello.mjs", "application/javascript",
	    "export function hello(request) {\n"
	    "  return { hello: new URL(request.url).searchParams.get(\"name\") ?? \"world\" };\n}\n" },
	{ "python", "text/x-python", "hello.py", "text/x-python",
	    "def hello(request, ctx):\n    return {\"hello\": request.query.get(\"name\", \"world\")}\n" },
};

static int
sample_of(const struct home *h)
{
	int i, k;

	for (k = 0; k < (int)(sizeof samples / sizeof *samples); k++)
		for (i = 0; i < h->runtimes; i++)
			if (h->runtime[i].wall != NULL && strcmp(h->runtime[i].name, samples[k].runtime) == 0)
				return k;
	return 0;
}

/* A step and its commands, which are escaped here, all of them. */
static void
step(struct buf *b, const char *what, struct buf *commands)
{
	html(b, "<li><p>%s</p><pre tabindex=\"0\"><code>%s</code></pre></li>\n", what, commands->data);
	buf_reset(commands);
}

static void
show_steps(const struct conf *conf, const struct home *h, const char *url, struct buf *b)
{
	int k = sample_of(h);
	struct buf t = BUF_INIT;

	buf_str(b, "<ol class=\"steps\">\n");
	buf_fmt(&t, "PDS=https://bsky.social\nHANDLE=you.bsky.social\nPASSWORD=xxxx-xxxx-xxxx-xxxx\nRUNNER=%s", url);
	step(b, "Say who you are (an app password will do), and where this runner answers:", &t);
	buf_fmt(&t, "cat > %s <<'END'\n%sEND", samples[k].file, samples[k].code);
	step(b, "Write a function:", &t);
	buf_str(&t, "get() { sed -n \"s/.*\\\"$1\\\":\\\"\\([^\\\"]*\\)\\\".*/\\1/p\"; }\n"
		    "curl -fsS \"$PDS/xrpc/com.atproto.server.createSession\" \\\n    -H 'Content-Type: application/json' \\\n"
		    "    -d \"{\\\"identifier\\\":\\\"$HANDLE\\\",\\\"password\\\":\\\"$PASSWORD\\\"}\" > session.json\n"
		    "DID=$(get did < session.json) JWT=$(get accessJwt < session.json)");
	step(b, "Log in at your server:", &t);
	buf_fmt(&t, "curl -fsS \"$PDS/xrpc/com.atproto.repo.uploadBlob\" \\\n    -H \"Authorization: Bearer $JWT\" \\\n"
	    "    -H 'Content-Type: %s' \\\n    --data-binary @%s > blob.json\nBLOB=$(sed 's/^{\"blob\"://; s/}$//' blob.json)\n"
	    "curl -fsS \"$PDS/xrpc/com.atproto.repo.putRecord\" \\\n    -H \"Authorization: Bearer $JWT\" \\\n"
	    "    -H 'Content-Type: application/json' -d @- <<END\n"
	    "{ \"repo\": \"$DID\", \"collection\": \"%s\",\n  \"rkey\": \"hello\", \"record\": {\n    \"\\$type\": \"%s\",\n"
	    "    \"name\": \"hello\", \"version\": \"1.0.0\",\n    \"runtime\": \"%s\",\n    \"entry\": \"%s\", \"code\": $BLOB,\n"
	    "    \"endpoints\": { \"hello\": {} },\n    \"createdAt\": \"2026-01-01T00:00:00.000Z\" } }\nEND",
	    samples[k].type, samples[k].file, conf->atproto.collection, conf->atproto.collection, samples[k].mime, samples[k].file);
	step(b, "Upload the code, and put the record beside it:", &t);
	buf_str(&t, "curl -fsS \"$RUNNER/bundle/$DID/hello/latest/hello?name=you\"");
	step(b, "Call it:", &t);
	buf_str(b, "</ol>\n");
	buf_clear(&t);
}

static void
show_keys(const struct conf *conf, const struct home *h, struct buf *b)
{
	if (h->key[0] == '\0')
		return;
	html(b, "<h3>Secrets for a bundle</h3>\n<p>Only this runner can open what is sealed for its key:</p>\n"
	    "<p class=\"key\"><code>%s</code></p>\n<pre tabindex=\"0\"><code>at-rund secret seal --author $DID --bundle hello \\\n"
	    "    --runner %s \\\n    --key %s &lt; .env</code></pre>\n", h->key, conf->did, h->key);
	if (h->receipts[0] != '\0')
		html(b, "<p>A call that sends <code>At-Run-Receipt: 1</code> gets a signed receipt. It is signed with this key:</p>\n"
		    "<p class=\"key\"><code>%s</code></p>\n", h->receipts);
}

static void
show_deploy(struct call *c, const struct home *h, struct buf *b)
{
	struct buf url = BUF_INIT;

	page_url(c, &url);
	buf_str(b, "<section aria-labelledby=\"deploy\"><h2 id=\"deploy\">Deploy to it</h2>\n"
		   "<p>A bundle is one record and one blob in your own repository. Nothing is registered here: whoever calls "
		   "its address makes this runner fetch it.</p>\n");
	show_steps(c->door->conf, h, url.data, b);
	show_keys(c->door->conf, h, b);
	buf_str(b, "</section>\n");
	buf_clear(&url);
}

/* --- the two forms of it --- */

static int
show_page(struct call *c, struct err *e)
{
	const struct conf *conf = c->door->conf;
	struct home *h = mem_alloc(sizeof *h);
	struct buf title = BUF_INIT;
	int rc = gather(c, h, e);

	if (rc == 0) {
		buf_fmt(&title, "%s, a runner", conf->handle != NULL ? conf->handle : "at-rund");
		page_begin(c, title.data, PAGE_STATUS, NULL);
		show_who(conf, h, &c->reply.body);
		show_health(h, &c->reply.body);
		show_what(conf, h, &c->reply.body);
		show_whom(conf, &c->reply.body);
		show_deploy(c, h, &c->reply.body);
		page_end(c);
	}
	buf_clear(&title);
	home_clear(h);
	free(h);
	return rc;
}

static void
show_text(struct call *c)
{
	const struct conf *conf = c->door->conf;
	const char *who = conf->handle != NULL ? conf->handle : conf->did != NULL ? conf->did : "its operator";
	const char *base = page_base(c);

	reply_type(&c->reply, "text/plain; charset=utf-8");
	buf_fmt(&c->reply.body,
	    "This is an at-rund runner " AT_RUND_VERSION ", kept by %s.\n"
	    "It runs functions that people store in their own AT Protocol repositories.\n\n"
	    "  call one    %s/bundle/{did or handle}/{name}/{version or latest}/{endpoint}\n"
	    "  the card    %s/xrpc/dev.at-run.describeRunner\n"
	    "  is it well  %s/ready\n",
	    who, base, base, base);
}

int
page_home(struct call *c, struct err *e)
{
	if (!c->door->conf->web.status_page)
		return err_named(e, ERR_NOTFOUND, "NotFound", "there is no page here (web.status_page = no)");
	reply_header(&c->reply, "Vary", "Accept");
	if (header_wants_html(c->request->accept))
		return show_page(c, e);
	show_text(c);
	return 0;
}
