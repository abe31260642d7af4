#include "tests/t.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/near.h"

/* The seed's config, with an [access] section of its own in each example. */
#define SEED_TOP                                                         \
	"# Your identity — the runner IS you\n"                          \
	"did = \"did:plc:your-did-here\"\n"                              \
	"handle = \"you.bsky.social\"\n"                                 \
	"port = 3000\n"                                                  \
	"isolation = \"auto\"   # Auto-detect best available (default)\n"
#define SEED_REST                                          \
	"[runtimes]\n"                                     \
	"deno = \"deno.nix\"\n"                            \
	"python-ml = \"python-ml.nix\"\n"                  \
	"[observability]\n"                                \
	"otlp_endpoint = \"http://localhost:4317\"\n"      \
	"log_format = \"json\"\n"

static struct conf *
parse(const char *text, struct buf *problems, struct err *e)
{
	return conf_parse("config.ini", text, strlen(text), "/home/r/.at-rund", problems, e);
}

static struct conf *
must(const char *text)
{
	struct err e = ERR_INIT;
	struct conf *c = parse(text, NULL, &e);

	if (c == NULL)
		CHECK_STR(e.text, "");
	return c;
}

TEST(conf_reads_the_seeds_toml_as_it_stands)
{
	struct conf *c = must(SEED_TOP "[access]\nmode = \"allowlist\"\nallowlist = [\n  \"did:plc:friend1\",\n"
	    "  \"did:plc:friend2\",\n]\n" SEED_REST);

	CHECK_STR(c->did, "did:plc:your-did-here");
	CHECK_STR(c->handle, "you.bsky.social");
	CHECK_INT(c->port, 3000);
	CHECK_STR(c->isolation, "auto");
	CHECK_STR(c->access.mode, "allowlist");
	CHECK_INT(c->access.allowlist.n, 2);
	CHECK_STR(c->access.allowlist.item[1], "did:plc:friend2");
	CHECK_INT(c->runtimes.n, 2);
	CHECK_STR(c->runtimes.item[1].key, "python-ml");
	CHECK_STR(c->runtimes.item[1].value, "python-ml.nix");
	CHECK_STR(c->observability.otlp_endpoint, "http://localhost:4317");
	CHECK_STR(c->observability.log_format, "json");
	conf_free(c);
}

TEST(conf_reads_every_access_mode_in_the_seeds_form)
{
	static const char *const modes[] = {
		"mode = \"open\"\n",
		"mode = \"allowlist\"\nallowlist = [\"did:plc:a\"]\n",
		"mode = \"blocklist\"\nblocklist = [\n  \"did:plc:spammer\",   # loud\n]\n",
		"mode = \"follows\"\n",
		"mode = \"mutuals\"\n",
		"mode = \"list\"\nlist = \"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.graph.list/3kxyz\"\n",
	};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		char *text = mem_fmt("%s[access]\n%s%s", SEED_TOP, modes[i], SEED_REST);

		conf_free(must(text));
		free(text);
	}
}

TEST(conf_reads_ini_and_toml_alike)
{
	struct conf *a = must("port = 3000 ; comment\nisolation = none\n[access]\nallowlist = did:plc:a, did:plc:b\n"
	    "[pool]\nwarm.deno = 2\nidle = 300s\n[web]\nmetrics = on\nstatus_page = no\n");
	struct conf *b = must("port = \"3000\" # comment\nisolation = 'none'\n[access]\nallowlist =\n  did:plc:a\n\n"
	    "; a friend\n  \"did:plc:b\",\n[pool]\nwarm.deno = 2\nidle = \"5m\"\n[web]\nmetrics = \"on\"\n"
	    "status_page = false\n");
	struct buf x = BUF_INIT, y = BUF_INIT;

	CHECK_INT(a->access.allowlist.n, 2);
	CHECK_INT(b->access.allowlist.n, 2);
	CHECK_STR(b->access.allowlist.item[1], "did:plc:b");
	CHECK_INT(a->pool.idle, 300000);
	CHECK_INT(b->pool.idle, 300000);
	CHECK_STR(a->pool.warm.item[0].key, "deno");
	CHECK(!a->web.status_page && !b->web.status_page);
	CHECK_STR(b->isolation, "none");
	conf_free(a);
	conf_free(b);
	buf_clear(&x);
	buf_clear(&y);
}

TEST(conf_keeps_what_quotes_hold)
{
	struct conf *c = must("contact = \"mail # me; \\\"now\\\" \\\\ \" ; really\n[web]\nbase_path = ''\n");

	CHECK_STR(c->contact, "mail # me; \"now\" \\ ");
	CHECK_STR(c->web.base_path, "");
	conf_free(c);
	c = must("contact = a;b#c   # comment\n");
	CHECK_STR(c->contact, "a;b#c");
	conf_free(c);
}

TEST(conf_values_may_be_longer_than_inihs_lines)
{
	struct buf t = BUF_INIT;
	struct conf *c;

	buf_str(&t, "contact = \"");
	for (int i = 0; i < 350; i++)
		buf_str(&t, "%41; # =[x");
	buf_str(&t, "\"\n[access]\nallowlist = [\n");
	for (int i = 0; i < 3000; i++)
		buf_fmt(&t, "  \"did:plc:friend%d\",\n", i);
	buf_str(&t, "]\n");
	c = must(t.data);
	CHECK_INT(strlen(c->contact), 350 * 10);
	CHECK(strncmp(c->contact, "%41; # =[x%41", 13) == 0);
	CHECK_INT(c->access.allowlist.n, 3000);
	CHECK_STR(c->access.allowlist.item[2999], "did:plc:friend2999");
	conf_free(c);
	buf_clear(&t);
}

TEST(conf_defaults_are_those_of_the_contract)
{
	struct conf *c = must("");

	CHECK_INT(c->port, 3000);
	CHECK_STR(c->access.mode, "allowlist");
	CHECK_STR(c->callers.mode, "open");
	CHECK_INT(c->limits.timeout, 30000);
	CHECK_INT(c->limits.memory, 256 << 20);
	CHECK_INT(c->limits.request, 6 << 20);
	CHECK_INT(c->scheduler.keep_async, INT64_C(7) * 86400000);
	CHECK_STR(c->web.listen, "/home/r/.at-rund/run/fcgi.sock");
	CHECK_STR(c->database, "/home/r/.at-rund/at-rund.db");
	CHECK(c->did == NULL);
	CHECK(c->web.sandbox_answers);
	conf_free(c);
}

/* Each message as the operator reads it. */
TEST(conf_errors_name_line_key_and_expectation)
{
	static const struct {
		const char *text, *problems;
	} cases[] = {
		{ "port = 70000\n", "config.ini:1: port: expected a number from 0 to 65535, not \"70000\"\n" },
		{ "port = 03\n", "config.ini:1: port: expected a number from 0 to 65535, not \"03\"\n" },
		{ "prot = 1\n", "config.ini:1: prot: unknown key; did you mean port?\n" },
		{ "[limits]\nport = 1\n",
		    "config.ini:2: limits.port: unknown key; port stands at the top of the file, before any [section]\n" },
		{ "timeout = 5s\n", "config.ini:1: timeout: unknown key; timeout stands in [limits]\n" },
		{ "xyzzy = 5s\n", "config.ini:1: xyzzy: unknown key; at-rund.conf(5) lists them all\n" },
		{ "\n[acces]\nmode = open\n", "config.ini:2: [acces]: unknown section; did you mean [access]?\n" },
		{ "[grants]\nread = /srv/x\n", "config.ini:2: grants.read: expected who and an absolute path, none of the system's "
		    "own: [\"did:plc:… /srv/data\", \"did:plc:…/name /srv/x\"], not \"/srv/x\"\n" },
		{ "[grants]\nwrite = \"* /srv/x\"\nread = \"* /srv/x/y\"\n", "config.ini: grants: /srv/x/y lies below a path that "
		    "bundles may write, who could make it lead anywhere\n" },
		{ "isolation = fircracker\n", "config.ini:1: isolation: expected one of auto, none, sandbox, container, "
		    "firecracker, not \"fircracker\"; did you mean firecracker?\n" },
		{ "did = me\n", "config.ini:1: did: expected a DID such as did:plc:ewvi7nxzyoun6zhxrhs64oiz or "
		    "did:web:example.com, not \"me\"\n" },
		{ "handle = me\n", "config.ini:1: handle: expected a handle such as you.example.com, not \"me\"\n" },
		{ "[limits]\ntimeout = 30\n", "config.ini:2: limits.timeout: expected a duration with its unit "
		    "(ms, s, m, h, d) from 1ms to 1d, not \"30\"\n" },
		{ "[limits]\nmemory = lots\n", "config.ini:2: limits.memory: expected a size in bytes, or with K, M, G, "
		    "from 16M to 1T, not \"lots\"\n" },
		{ "[web]\nmetrics = maybe\n",
		    "config.ini:2: web.metrics: expected one of off, loopback, on, not \"maybe\"\n" },
		{ "[web]\nstatus_page = maybe\n", "config.ini:2: web.status_page: expected yes or no, not \"maybe\"\n" },
		{ "[web]\nbase_path = /a/\n",
		    "config.ini:2: web.base_path: expected nothing, or a path such as /run, not \"/a/\"\n" },
		{ "[web]\nlisten_mode = rw\n", "config.ini:2: web.listen_mode: expected a mode such as 0660, not \"rw\"\n" },
		{ "[web]\nbind = here\n",
		    "config.ini:2: web.bind: expected an address such as 127.0.0.1, 0.0.0.0 or ::1, not \"here\"\n" },
		{ "[atproto]\nplc_url = plc.directory\n",
		    "config.ini:2: atproto.plc_url: expected a URL such as https://example.com, not \"plc.directory\"\n" },
		{ "[access]\nallowlist = [\n  \"did:plc:a\",\n  \"friend\",\n]\n",
		    "config.ini:4: access.allowlist: expected DIDs: [\"did:plc:…\", \"did:web:…\"], not \"friend\"\n" },
		{ "[access]\nmode = list\n",
		    "config.ini: access.mode = list needs access.list, the at:// URI of a list\n" },
		{ "[access]\nmode = follows\n", "config.ini: access.mode = follows needs did: whose follows are meant?\n" },
		{ "[runtimes]\nPython = x.nix\n", "config.ini:2: runtimes.Python: a runtime's name has at most 32 lower case "
		    "letters, digits and '-', not Python\n" },
		{ "port = [1, 2]\n", "config.ini:1: port: expected one value and no list: a number from 0 to 65535\n"
		    "config.ini:1: port: expected one value and no list: a number from 0 to 65535\n" },
		{ "port = 1\nport = 2\n", "config.ini:2: port: already set in line 1\n" },
		{ "port = 1\n  limits = 2\n",
		    "config.ini:2: the line is indented: a key or [section] begins at the start of its line\n" },
		{ "[access]\nallowlist =\n  mode = open\n", "config.ini:2: access.allowlist: an indented line belongs to the "
		    "value above it: begin a key at the start of its line\n" },
		{ "contact = \"a\n", "config.ini:1: contact: the quoted string has no end on its line\n" },
		{ "contact = \"a\" b\n", "config.ini:1: contact: unexpected text after the closing quote\n" },
		{ "contact = \"\\n\"\n", "config.ini:1: contact: after a backslash in \"...\" only \" or \\ is understood; "
		    "'...' keeps backslashes\n" },
		{ "contact = \"\"\"a\n", "config.ini:1: contact: strings over several lines are not understood\n" },
		{ "contact = { a = 1 }\n",
		    "config.ini:1: contact: a table { ... } is not understood here: give it a [section]\n" },
		{ "[access]\nallowlist = [\n\"did:plc:a\"\n", "config.ini:2: access.allowlist: the list has no closing ]\n" },
		{ "[access]\nallowlist = [ , ]\n",
		    "config.ini:2: access.allowlist: an item is missing before the comma\n" },
		{ "[access]\nallowlist = [\"a\" \"b\"]\n",
		    "config.ini:2: access.allowlist: a comma or ] is missing between two items\n" },
		{ "[access]\nallowlist = [[a]]\n",
		    "config.ini:2: access.allowlist: a list inside a list is not understood\n" },
		{ "[access]\nallowlist = [a] b\n", "config.ini:2: access.allowlist: unexpected text after the list's ]\n" },
		{ "[[access]]\n", "config.ini:1: [[...]] is not understood\n" },
		{ "[access\n", "config.ini:1: expected [section], a name of at most 48 letters, digits, '-', '_', '.'\n" },
		{ "port: 3000\n", "config.ini:1: expected key = value, not key: value\n" },
		{ "port\n", "config.ini:1: expected [section] or key = value; a key has at most 48 letters, digits, '-', "
		    "'_', '.'\n" },
		{ "\xef\xbb\xbfport = 1\n",
		    "config.ini:1: the file begins with a byte order mark: save it as plain UTF-8\n" },
		{ "a = \xff\n", "config.ini:1: the line is not UTF-8 text\n" },
		{ "a = \033[2J\n", "config.ini:1: the line holds a control character\n" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf problems = BUF_INIT;
		struct err e = ERR_INIT;
		struct conf *c = parse(cases[i].text, &problems, &e);

		CHECK(c == NULL);
		CHECK_STR(problems.data, cases[i].problems);
		CHECK_INT(e.kind, ERR_INPUT);
		CHECK(strncmp(e.text, problems.data, strlen(e.text)) == 0);
		buf_clear(&problems);
	}
}

TEST(conf_lists_the_sections_for_one_that_it_does_not_know)
{
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;

	CHECK(parse("[kitchen]\n", &problems, &e) == NULL);
	CHECK(strncmp(problems.data, "config.ini:1: [kitchen]: unknown section; there are access, callers, isolation, runtimes, ",
	    89) == 0);
	CHECK(strstr(problems.data, ", dev, scheduler, ") != NULL);
	buf_clear(&problems);
}

TEST(conf_finds_all_problems_in_one_go)
{
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;

	CHECK(parse("port = x\n[acces]\na = 1\n[limits]\ntimeout = x\nmemory = 1G\n", &problems, &e) == NULL);
	CHECK_STR(problems.data, "config.ini:1: port: expected a number from 0 to 65535, not \"x\"\n"
	    "config.ini:2: [acces]: unknown section; did you mean [access]?\n"
	    "config.ini:5: limits.timeout: expected a duration with its unit (ms, s, m, h, d) from 1ms to 1d, not \"x\"\n");
	buf_clear(&problems);
}

TEST(conf_refuses_long_lines_and_nul_bytes)
{
	struct buf t = BUF_INIT, problems = BUF_INIT;
	struct err e = ERR_INIT;

	buf_str(&t, "contact = ");
	for (int i = 0; i < 4096; i++)
		buf_char(&t, 'x');
	CHECK(conf_parse("c", t.data, t.len, "/h", &problems, &e) == NULL);
	CHECK_STR(e.text,
	    "c:1: the line is too long: at most 4096 bytes; a long list may go over several lines in [ ... ]");
	CHECK(conf_parse("c", "a\0b", 3, "/h", NULL, &e) == NULL);
	CHECK_STR(e.text, "c:1: the line holds a NUL byte");
	buf_clear(&t);
	buf_clear(&problems);
}

TEST(conf_warns_of_what_is_legal_and_probably_wrong)
{
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c = parse("[access]\nmode = allowlist\n[observability]\notlp_endpoint = http://localhost:4317\n"
	    "otlp_protocol = http/json\n",
	    &problems, &e);

	CHECK(c != NULL);
	CHECK_STR(problems.data, "config.ini:2: warning: access.mode: the allowlist is empty and did is not set, so nobody's "
	    "bundles run here\n"
	    "config.ini:5: warning: observability.otlp_protocol: 4317 is the port of OTLP over gRPC; over HTTP it is 4318\n");
	conf_free(c);
	buf_clear(&problems);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

TEST(conf_environment_goes_over_the_file_and_show_says_so)
{
	char *path = mem_fmt("%s/config.ini", t_tmpdir());
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c;

	write_file(path, "port = 3001\n[limits]\ntimeout = 7s\n[access]\nallowlist = [did:plc:a]\n");
	unsetenv("AT_RUND_HOME");
	setenv("AT_RUND_LIMITS_TIMEOUT", "9s", 1);
	setenv("AT_RUND_ACCESS_ALLOWLIST", "did:plc:x did:plc:y", 1);
	c = conf_load(path, false, NULL, &e);
	CHECK(c != NULL);
	CHECK_INT(c->port, 3001);
	CHECK_INT(c->limits.timeout, 9000);
	CHECK_INT(c->access.allowlist.n, 2);
	CHECK_STR(c->access.allowlist.item[0], "did:plc:x");
	CHECK_STR(c->file, path);
	conf_show(c, false, &out);
	CHECK(strstr(out.data, "limits.timeout = 9s                     (environment AT_RUND_LIMITS_TIMEOUT)\n") != NULL);
	CHECK(strstr(out.data, "config.ini:1)\n") != NULL);
	CHECK(strstr(out.data, "limits.memory = 256M                    (default)\n") != NULL);
	conf_free(c);
	setenv("AT_RUND_LIMITS_TIMEOUT", "soon", 1);
	CHECK(conf_load(path, false, NULL, &e) == NULL);
	CHECK(strncmp(e.text, "environment AT_RUND_LIMITS_TIMEOUT: expected a duration", 55) == 0);
	unsetenv("AT_RUND_LIMITS_TIMEOUT");
	unsetenv("AT_RUND_ACCESS_ALLOWLIST");
	buf_clear(&out);
	free(path);
}

TEST(conf_home_is_given_or_beside_the_file)
{
	const char *dir = t_tmpdir();
	char *path = mem_fmt("%s/config.toml", dir);
	struct err e = ERR_INIT;
	struct conf *c;

	setenv("AT_RUND_HOME", dir, 1);
	CHECK(conf_load(NULL, false, NULL, &e) == NULL);
	CHECK_INT(e.kind, ERR_INPUT);
	CHECK(strstr(e.text, "at-rund init") != NULL);
	c = conf_load(NULL, true, NULL, &e);
	CHECK(c != NULL && c->file == NULL);
	CHECK_STR(c->home, dir);
	conf_free(c);
	write_file(path, "port = 1\n");
	c = conf_load(NULL, false, NULL, &e);
	CHECK(c != NULL);
	CHECK_STR(c->file, path);
	conf_free(c);
	unsetenv("AT_RUND_HOME");
	c = conf_load(path, false, NULL, &e);
	CHECK_STR(c->home, dir);
	conf_free(c);
	free(path);
}

TEST(conf_durations_and_sizes_read_back_as_printed)
{
	static const struct {
		const char *text;
		int64_t value;
	} durations[] = { { "250ms", 250 }, { "30s", 30000 }, { "5m", 300000 }, { "1h", 3600000 }, { "7d", 604800000 },
		{ "0", 0 } },
	    sizes[] = { { "1", 1 }, { "64K", 65536 }, { "6M", 6291456 }, { "1G", 1 << 30 }, { "1000", 1000 } };
	static const char *const bad[] = { "", "-1s", "1 s", "s", "1x", "1.5s", "99999999999999999999s",
		"9999999999999999d", "+1s" };
	char out[32];

	for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
		CHECK_INT(conf_duration_parse(durations[i].text), durations[i].value);
		conf_duration_print(durations[i].value, out);
		CHECK_STR(out, durations[i].text);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		CHECK_INT(conf_size_parse(sizes[i].text), sizes[i].value);
		conf_size_print(sizes[i].value, out);
		CHECK_STR(out, sizes[i].text);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		CHECK_INT(conf_duration_parse(bad[i]), -1);
		CHECK_INT(conf_size_parse(bad[i]), -1);
	}
}

TEST(conf_template_loads)
{
	struct buf t = BUF_INIT, problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c;

	conf_template(&t);
	c = conf_parse("config.ini", t.data, t.len, "/h", &problems, &e);
	CHECK(c != NULL);
	conf_free(c);
	buf_clear(&t);
	buf_clear(&problems);
}

TEST(conf_manual_page_has_every_key_with_its_default)
{
	size_t n;
	char *page = t_read_file("cli/at-rund.conf.5", &n), *save = NULL;
	struct buf out = BUF_INIT;
	struct conf *c = conf_parse("c", "", 0, "HOME", NULL, NULL);

	CHECK(page != NULL);
	conf_show(c, false, &out);
	for (char *line = strtok_r(out.data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *end = strstr(line, " = "), *value;
		char *want;

		if (line[0] == '#')
			continue;
		CHECK(end != NULL);
		*end = '\0';
		value = end + 3;
		end = strstr(value, "(default)");
		while (end > value && end[-1] == ' ')
			end--;
		*end = '\0';
		if (strncmp(value, "HOME/", 5) == 0)
			value += 5;
		if (strcmp(value, "[]") == 0)
			value += 2;
		want = mem_fmt(".It Va %s%s%s\n", line, value[0] != '\0' ? " = " : "", value);
		if (strstr(page, want) == NULL)
			t_note("cli/at-rund.conf.5 lacks the line %s", want);
		CHECK(strstr(page, want) != NULL);
		free(want);
	}
	conf_free(c);
	buf_clear(&out);
	free(page);
}

TEST(conf_survives_its_fuzz_corpus)
{
	DIR *d = opendir("tests/fuzz/corpus/conf");
	struct dirent *f;
	int files = 0;

	CHECK(d != NULL);
	while ((f = readdir(d)) != NULL) {
		char *path = mem_fmt("tests/fuzz/corpus/conf/%s", f->d_name), *text = NULL;
		size_t n = 0;

		if (f->d_name[0] != '.' && (text = t_read_file(path, &n)) != NULL) {
			conf_free(conf_parse("fuzz", text, n, "/h", NULL, NULL));
			files++;
		}
		free(text);
		free(path);
	}
	closedir(d);
	CHECK(files > 0);
}

TEST(conf_take_swaps_what_is_read_anew_and_names_the_rest)
{
	struct conf *a = must("[access]\nallowlist = [\"did:plc:friend1\"]\n[limits]\ntimeout = 10s\n[pool]\nwarm.node = 1\n");
	struct conf *b = must("isolation = none\n[access]\nmode = blocklist\nallowlist = [\"did:plc:friend2\", \"did:plc:friend3\"]\n"
	    "[limits]\ntimeout = 20s\n[pool]\nwarm.node = 2\n[observability]\nlevel = debug\n");
	struct buf taken = BUF_INIT, left = BUF_INIT;

	conf_take(a, b, &taken, &left);
	CHECK_STR(taken.data, "access.mode access.allowlist limits.timeout pool.warm.NAME observability.level");
	CHECK_STR(left.data, "isolation");
	CHECK_STR(a->pool.warm.item[0].value, "2");
	CHECK_STR(a->access.mode, "blocklist");
	CHECK_INT(a->access.allowlist.n, 2);
	CHECK_INT(a->limits.timeout, 20000);
	CHECK_INT(b->limits.timeout, 10000);
	CHECK_STR(a->isolation, "auto");
	conf_free(b);
	CHECK_STR(a->access.allowlist.item[1], "did:plc:friend3");
	buf_reset(&left);
	buf_clear(&taken);
	b = must("[access]\nmode = blocklist\nallowlist = [\"did:plc:friend2\", \"did:plc:friend3\"]\n[limits]\ntimeout = 20s\n"
	    "[pool]\nwarm.node = 2\n[observability]\nlevel = debug\n");
	conf_take(a, b, &taken, &left);
	CHECK_INT(taken.len, 0);
	CHECK_INT(left.len, 0);
	buf_clear(&left);
	conf_free(a);
	conf_free(b);
}

TEST(conf_of_the_system_listens_where_a_web_server_may_go)
{
	struct conf *c = conf_parse("config.ini", "", 0, CONF_SYSTEM_HOME, NULL, NULL);

	CHECK_STR(c->web.listen, "/run/at-rund/fcgi.sock");
	conf_free(c);
	c = conf_parse("config.ini", "[web]\nlisten = own.sock\n", 24, CONF_SYSTEM_HOME, NULL, NULL);
	CHECK_STR(c->web.listen, "/var/lib/at-rund/own.sock");
	conf_free(c);
}

TEST(near_offers_what_was_meant)
{
	static const char *const words[] = { "serve", "status", "config", NULL };

	CHECK_STR(near_word("sevre", words), "serve");
	CHECK_STR(near_word("statsu", words), "status");
	CHECK(near_word("banana", words) == NULL);
	CHECK_INT(near_distance("ab", "ba"), 1);
	CHECK_INT(near_distance("", "abc"), 3);
}
