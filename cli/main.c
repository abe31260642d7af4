/*
 * at-rund: the command line.  One table names every command; parsing, help and hints follow from it.
 */
#include "cli/cli.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/near.h"

const struct command cli_commands[] = {
	{ "init", "", 0, 0, "did= handle= system", "make the home of a runner and its config",
	    "at-rund init\n"
	    "at-rund init --system\n"
	    "at-rund init --did did:plc:ewvi7nxzyoun6zhxrhs64oiz --handle you.bsky.social\n",
	    "--did DID        who runs this runner\n"
	    "--handle HANDLE  the handle of that DID\n"
	    "--system         for this machine: config in /etc/at-rund, home /var/lib/at-rund, user at-rund\n", cmd_init },
	{ "serve", "", 0, 0, "dev port= bundles=", "start everything and keep it running",
	    "at-rund serve\n"
	    "at-rund serve --dev --bundles ./bundles\n"
	    "at-rund serve --port 8080\n",
	    "--dev            loopback, http and isolation none are allowed, [dev] bundles are served\n"
	    "--bundles DIR    with --dev: serve the bundles in DIR as author local\n"
	    "--port N         answer on this port; 0: only the FastCGI socket\n", cmd_serve },
	{ "status", "", 0, 0, "", "what the runner is doing", "at-rund status\nat-rund status --json\n", NULL, cmd_status },
	{ "build", "", 0, 0, "runtime= force", "make the images of runtimes, for the walls container and sandbox",
	    "at-rund build\n"
	    "at-rund build --runtime python\n"
	    "at-rund build --force\n",
	    "--runtime NAME   of this runtime only\n"
	    "--force          also what is there already: newer packages come in\n", cmd_build },
	{ "doctor", "", 0, 0, "", "what works here, what does not, and the command that mends it",
	    "at-rund doctor\nat-rund doctor --json\n", NULL, cmd_doctor },
	{ "runtime list", "", 0, 0, "", "the runtimes: what they run, their version, what is missing",
	    "at-rund runtime list\n", NULL, cmd_runtime_list },
	{ "pool status", "", 0, 0, "", "the instances that live", "at-rund pool status\n", NULL, cmd_pool_status },
	{ "pool warm", "[RUNTIME] [N]", 0, 2, "", "keep blank instances ready",
	    "at-rund pool warm\nat-rund pool warm deno 2\n", NULL, cmd_pool_warm },
	{ "pool drain", "[RUNTIME]", 0, 1, "", "end the instances, each when its calls are done",
	    "at-rund pool drain\nat-rund pool drain python\n", NULL,
	    cmd_pool_drain },
	{ "job list", "", 0, 0, "state= author= bundle= limit=", "jobs, the newest first",
	    "at-rund job list\n"
	    "at-rund job list --state running\n"
	    "at-rund job list --author did:plc:ewvi7nxzyoun6zhxrhs64oiz --bundle hello --limit 5\n",
	    "--state WORD     queued, admitted, running, done, or an outcome: ok, error, timeout, ...\n"
	    "--author DID     of this author\n"
	    "--bundle NAME    of this bundle\n"
	    "--limit N        at most N rows, 20 when not given\n", cmd_job_list },
	{ "job show", "ID", 1, 1, "", "everything about one job", "at-rund job show 42\n", NULL, cmd_job_show },
	{ "job cancel", "ID", 1, 1, "", "stop a job", "at-rund job cancel 42\n", NULL, cmd_job_cancel },
	{ "job logs", "ID", 1, 1, "follow|f", "what a job printed", "at-rund job logs 42\nat-rund job logs -f 42\n",
	    "-f, --follow     go on until the job is done\n", cmd_job_logs },
	{ "logs", "", 0, 0, "follow|f author= bundle= level= outcome= limit=", "what all handlers print",
	    "at-rund logs -f\n"
	    "at-rund logs -f --level warn\n"
	    "at-rund logs --author did:plc:ewvi7nxzyoun6zhxrhs64oiz --bundle hello --outcome error --json\n",
	    "-f, --follow     go on; with --json a line each\n"
	    "--author DID     of this author\n"
	    "--bundle NAME    of this bundle\n"
	    "--level WORD     debug, info, warn, error: this and above\n"
	    "--outcome WORD   of jobs that ended so; a line is shown once its job is done\n"
	    "--limit N        the last N lines, 50 when not given\n", cmd_logs },
	{ "job attempts", "ID", 1, 1, "", "the starts of a job that was started more than once", "at-rund job attempts 42\n", NULL,
	    cmd_job_attempts },
	{ "job failed", "", 0, 0, "author= bundle= outcome= limit=", "jobs that did not end well, the newest first",
	    "at-rund job failed\n"
	    "at-rund job failed --outcome killed --limit 5\n",
	    "--author DID     of this author\n"
	    "--bundle NAME    of this bundle\n"
	    "--outcome WORD   error, timeout, memory, output, killed, lost, expired, refused, cancelled\n"
	    "--limit N        at most N rows, 50 when not given\n", cmd_job_failed },
	{ "job retry", "ID", 1, 1, "", "run the request of a job that is done once more, as a new job", "at-rund job retry 42\n",
	    NULL, cmd_job_retry },
	{ "job redrive", "", 0, 0, "author= bundle= outcome= since= before= poisoned",
	    "run again all accepted jobs that failed and were not run again yet",
	    "at-rund job redrive --since 2h\n"
	    "at-rund job redrive --author did:plc:ewvi7nxzyoun6zhxrhs64oiz --since 2026-11-25T10:00:00Z\n",
	    "--author DID     of this author\n"
	    "--bundle NAME    of this bundle\n"
	    "--outcome WORD   that ended so: error, timeout, memory, output, killed, lost, expired\n"
	    "--since WHEN     asked for since then: 2h (ago), 2026-11-25, 2026-11-25T10:00:00Z\n"
	    "--before WHEN    asked for before then\n"
	    "--poisoned       also those that were set aside because they killed their instance\n", cmd_job_redrive },
	{ "job purge", "", 0, 0, "author= bundle= outcome= since= before= all", "forget accepted jobs that failed",
	    "at-rund job purge --before 7d\n"
	    "at-rund job purge --outcome expired\n",
	    "--author DID     of this author\n"
	    "--bundle NAME    of this bundle\n"
	    "--outcome WORD   that ended so\n"
	    "--since WHEN, --before WHEN   asked for in that time\n"
	    "--all            all of them\n", cmd_job_purge },
	{ "callback list", "", 0, 0, "state= limit=", "where the ends of jobs are told, the newest first",
	    "at-rund callback list\n"
	    "at-rund callback list --state failed\n",
	    "--state WORD     waiting (for the job), due, delivered, failed, void (the job was refused)\n"
	    "--limit N        at most N rows, 20 when not given\n", cmd_callback_list },
	{ "callback retry", "ID", 1, 1, "", "tell the end of a job now, with all attempts before it", "at-rund callback retry 42\n",
	    NULL, cmd_callback_retry },
	{ "enroll", "[DID] [BUNDLE]", 0, 2, "remove", "start the schedules of an author or a bundle; alone: who is enrolled",
	    "at-rund enroll did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"
	    "at-rund enroll did:plc:ewvi7nxzyoun6zhxrhs64oiz backup\n"
	    "at-rund enroll --remove did:plc:ewvi7nxzyoun6zhxrhs64oiz\n",
	    "--remove         no longer\n", cmd_enroll },
	{ "schedule list", "", 0, 0, "author= next=", "what comes by itself, and when next",
	    "at-rund schedule list\nat-rund schedule list --next 5\n",
	    "--author DID     of this author\n"
	    "--next N         the next N runs of each, in the order of their times\n", cmd_schedule_list },
	{ "schedule history", "[SCHEDULE]", 0, 1, "limit=", "each time a schedule came, the newest first",
	    "at-rund schedule history\nat-rund schedule history 3 --limit 5\n",
	    "--limit N        at most N rows, 20 when not given\n", cmd_schedule_history },
	{ "schedule run", "SCHEDULE", 1, 1, "", "start it now, beside its times", "at-rund schedule run 3\n", NULL, cmd_schedule_run },
	{ "schedule pause", "SCHEDULE", 1, 1, "", "let it rest", "at-rund schedule pause 3\n", NULL, cmd_schedule_pause },
	{ "schedule resume", "SCHEDULE", 1, 1, "", "let it go on", "at-rund schedule resume 3\n", NULL, cmd_schedule_resume },
	{ "bundle list", "", 0, 0, "author= limit=", "bundles in the cache", "at-rund bundle list\n",
	    "--author DID     of this author\n"
	    "--limit N        at most N rows, 50 when not given\n", cmd_bundle_list },
	{ "bundle show", "CID | AUTHOR/NAME", 1, 1, "", "one bundle with its record",
	    "at-rund bundle show did:plc:ewvi7nxzyoun6zhxrhs64oiz/hello\n", NULL, cmd_bundle_show },
	{ "ensure", "", 0, 0, "crontab no-crontab", "start serve in the background unless it runs: for cron",
	    "at-rund ensure\n"
	    "at-rund ensure --crontab\n",
	    "--crontab        let your crontab do this every five minutes and after a reboot\n"
	    "--no-crontab     take it out of your crontab; what runs goes on\n", cmd_ensure },
	{ "backup", "[FILE]", 0, 1, "keys encrypt passphrase-file= recipient= without-bundles", "config, database, bundles in one file",
	    "at-rund backup\n"
	    "at-rund backup --keys --encrypt /media/stick/at-rund.vault\n"
	    "at-rund backup --keys --passphrase-file /root/backup.pass /var/backups/at-rund.vault\n"
	    "at-rund backup --keys --recipient age1... /var/backups/at-rund.tar.gz.age\n",
	    "FILE             at-rund-DATE.tar.gz (.vault or .age when encrypted) when not given; never over a file that is there\n"
	    "--keys           the keys as well; only encrypted\n"
	    "--encrypt        with a passphrase, which is asked for\n"
	    "--passphrase-file FILE   the same, from its first line\n"
	    "--recipient KEYS         for keys of age-keygen instead (age1..., commas between): no secret is needed here\n"
	    "--without-bundles        without the cache of bundles, which can be fetched again\n", cmd_backup },
	{ "restore", "FILE", 1, 1, "passphrase-file= identity= system", "make a home from a backup",
	    "at-rund restore at-rund-20261125-030000.tar.gz\n"
	    "at-rund restore --home /srv/runner at-rund.vault\n"
	    "at-rund restore --system /var/backups/at-rund.vault\n"
	    "at-rund restore --identity key.txt at-rund.tar.gz.age\n",
	    "--passphrase-file FILE   of an encrypted one; asked for when not given\n"
	    "--identity FILE          of one for a key of age: the file that age-keygen wrote\n"
	    "--system                 config to /etc/at-rund, home /var/lib/at-rund, user at-rund\n", cmd_restore },
	{ "systemd install", "", 0, 0, "user dry-run group= root=", "units for systemd, and start",
	    "at-rund systemd install --dry-run\n"
	    "at-rund systemd install --group caddy\n"
	    "at-rund systemd install --user\n",
	    "--user           for you alone, kept running after you log out\n"
	    "--dry-run        print every file and command instead\n"
	    "--group GROUP    the web server's group, which may use the socket: www-data when not given\n"
	    "--root DIR       write the files below DIR and start nothing: for packages and images\n", cmd_systemd_install },
	{ "systemd uninstall", "", 0, 0, "user dry-run root=", "stop, and remove the units; config and home stay",
	    "at-rund systemd uninstall\n",
	    "--user, --dry-run, --root DIR   as for install\n", cmd_systemd_uninstall },
	{ "systemd status", "", 0, 0, "user", "how the units are doing", "at-rund systemd status\nat-rund systemd status --user\n",
	    "--user           of your own manager\n", cmd_systemd_status },
	{ "access check", "WHO", 1, 1, "caller", "may this DID have bundles here, or call; and why",
	    "at-rund access check did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"
	    "at-rund access check --caller did:plc:ewvi7nxzyoun6zhxrhs64oiz\n",
	    "--caller         may it call\n", cmd_access_check },
	{ "access show", "", 0, 0, "", "follows and lists that access asks for, and how they were read", "at-rund access show\n",
	    NULL, cmd_access_show },
	{ "page token", "", 0, 0, "name= days=", "make a token that opens the operator's page",
	    "at-rund page token --name laptop --days 90\n",
	    "--name WORDS     what you call it\n"
	    "--days N         good for so many days; until it is revoked when not given\n", cmd_page_token },
	{ "page list", "", 0, 0, "", "the tokens for the operator's page", "at-rund page list\n", NULL, cmd_page_list },
	{ "page revoke", "TOKEN | all", 1, 1, "", "take a token back: whoever is signed in with it is out",
	    "at-rund page revoke 2\nat-rund page revoke all\n", NULL, cmd_page_revoke },
	{ "sql", "[QUERY]", 0, 1, "", "read the database with sqlite3: views made for people",
	    "at-rund sql\n"
	    "at-rund sql 'select * from v_failed limit 5'\n"
	    "at-rund sql --json 'select called, calls from v_today'\n",
	    "QUERY            answer it and end; without one sqlite3 asks for more\n", cmd_sql },
	{ "web-config", "SERVER", 1, 1, "base=", "the lines that put this runner behind your web server",
	    "at-rund web-config nginx > /etc/nginx/snippets/at-rund.conf\n"
	    "at-rund web-config lighttpd --base /run\n"
	    "at-rund web-config htaccess > ~/public_html/.htaccess\n",
	    "SERVER           lighttpd, nginx, caddy, apache, cgi (Apache without FastCGI), or for a shared host\n"
	    "                 htaccess, htaccess-fcgid, htaccess-cgi\n"
	    "--base /PATH     below this path, instead of web.base_path; / for none\n", cmd_web_config },
	{ "secret key", "", 0, 0, "all", "the key that authors seal secrets for",
	    "at-rund secret key\nat-rund secret key --all\n",
	    "--all            every key, also those for receipts and those that are gone\n", cmd_secret_key },
	{ "secret list", "", 0, 0, "author=", "whose sealed secrets lie here, for which key, until when",
	    "at-rund secret list\n", "--author DID     of this author\n", cmd_secret_list },
	{ "secret seal", "", 0, 0, "author= bundle= runner= key= days=", "seal secrets from standard input for a runner",
	    "at-rund secret seal --author did:plc:ewvi7nxzyoun6zhxrhs64oiz --bundle hello < .env\n",
	    "--author DID     whose bundle\n"
	    "--bundle NAME    of which bundle\n"
	    "--runner DID     for which runner; this machine's own when not given\n"
	    "--key KEY        that runner's key (z6LS...)\n"
	    "--days N         good for so many days, 365 when not given\n", cmd_secret_seal },
	{ "secret rotate", "", 0, 0, "receipts", "make a new key; the one before it goes on opening boxes",
	    "at-rund secret rotate\nat-rund secret rotate --receipts\n",
	    "--receipts       the key that receipts are signed with\n", cmd_secret_rotate },
	{ "secret revoke", "KEY", 1, 1, "", "remove an old key: what was sealed for it is lost to the runner",
	    "at-rund secret revoke z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc\n", NULL, cmd_secret_revoke },
	{ "receipt verify", "[RECEIPT]", 0, 1, "key= url= method= target= body= answer= status= bundle=",
	    "check that an answer was really given by that runner",
	    "at-rund receipt verify --answer answer < receipt\n"
	    "curl -sD head -o answer -H 'At-Run-Receipt: 1' https://runner.example.com/bundle/...\n"
	    "sed -n 's/^at-run-receipt: //Ip' head | at-rund receipt verify --answer answer\n",
	    "--key KEY        the runner's key for receipts (z6Mk...), as you know it\n"
	    "--url URL        ask the runner's card there; when neither is given, its DID document\n"
	    "--method WORD, --target PATH, --body FILE      what was sent\n"
	    "--status N, --answer FILE                      what came back\n"
	    "--bundle CID     what should have run\n", cmd_receipt_verify },
	{ "publish", "", 0, 0, "dry-run password-file=", "announce this runner in the operator's repository",
	    "at-rund publish --dry-run\nat-rund publish < app-password\nat-rund publish --password-file ~/app-password\n",
	    "--dry-run        print the record and do nothing\n"
	    "--password-file FILE  an app password of the operator's account; else from standard input\n", cmd_publish },
	{ "whoami", "", 0, 0, "", "does the runner name its operator, and the operator the runner?", "at-rund whoami\n", NULL,
	    cmd_whoami },
	{ "config check", "[FILE]", 0, 1, "", "read the config through, tell every problem",
	    "at-rund config check\nat-rund config check ./config.toml\n", NULL, cmd_config_check },
	{ "config show", "", 0, 0, "", "every value in force and where it came from", "at-rund config show\n", NULL,
	    cmd_config_show },
	{ "completion", "SHELL", 1, 1, "", "completion of commands and options for bash, zsh or fish",
	    "at-rund completion bash > ~/.local/share/bash-completion/completions/at-rund\n"
	    "at-rund completion zsh > ~/.zfunc/_at-rund\n"
	    "at-rund completion fish > ~/.config/fish/completions/at-rund.fish\n", NULL, cmd_completion },
	{ "version", "", 0, 0, "", "versions of at-rund and of what it uses", "at-rund version --json\n", NULL, cmd_version },
	{ NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL },
};

/* Understood by every command. */
const char cli_everywhere[] = "json config= home= no-color help|h version|V";

static void
indented(const char *lines)
{
	while (*lines != '\0') {
		size_t n = strcspn(lines, "\n");

		printf("  %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

static const char global_help[] = "--json           one JSON document, also for errors\n"
    "--config FILE    read this config\n"
    "--home DIR       the home of the runner, otherwise AT_RUND_HOME or ~/.at-rund\n"
    "--no-color       no bold, as with NO_COLOR\n"
    "--help, --version\n";

static void
help_all(void)
{
	fputs("at-rund runs functions from AT Protocol repositories behind your web server.\n\nExamples:\n", stdout);
	indented("at-rund init                               make ~/.at-rund and its config\n"
	    "at-rund serve --dev --bundles ./bundles    try bundles of your own on this machine\n"
	    "at-rund serve                              run it\n"
	    "at-rund job list --state error             what went wrong lately\n");
	fputs("\nCommands:\n", stdout);
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		int n = printf("  %s%s%s", k->name, k->words[0] != '\0' ? " " : "", k->words);

		printf("%*s%s\n", n < 33 ? 33 - n : 1, "", k->help);
	}
	fputs("\nOptions of all commands:\n", stdout);
	indented(global_help);
	fputs("\n`at-rund COMMAND --help` tells more, as does at-rund(1).\n", stdout);
}

static void
help_one(const struct command *k)
{
	printf("%s%s\n\nExamples:\n", "at-rund ", k->name);
	indented(k->examples);
	printf("\n%c%s.\n\nUsage: at-rund %s%s%s%s\n", k->help[0] >= 'a' ? k->help[0] - 32 : k->help[0], k->help + 1, k->name,
	    k->words[0] != '\0' ? " " : "", k->words, k->more != NULL ? " [OPTION]..." : "");
	if (k->more != NULL) {
		printf("\nOptions:\n");
		indented(k->more);
	}
	fputs("\nOptions of all commands:\n", stdout);
	indented(global_help);
}

static void
print_version(void)
{
	fputs("at-rund " AT_RUND_VERSION "\nLicence MIT.  There is no warranty, as far as the law permits.\n", stdout);
}

const char *
cli_option(const struct cli *c, const char *name)
{
	for (int i = 0; i < c->opts; i++) {
		if (strcmp(c->opt[i].name, name) == 0)
			return c->opt[i].value;
	}
	return NULL;
}

bool
cli_number(const char *word, long min, long max, int *out)
{
	size_t digits = strspn(word, "0123456789");
	long n;

	if (digits == 0 || digits > 9 || word[digits] != '\0')
		return false;
	n = strtol(word, NULL, 10);
	if (n < min || n > max)
		return false;
	*out = (int)n;
	return true;
}

/* ---- parsing ---- */

bool
cli_next_spec(const char **p, struct cli_spec *s)
{
	size_t n, name;

	while (**p == ' ')
		(*p)++;
	n = strcspn(*p, " ");
	if (n == 0)
		return false;
	name = strcspn(*p, "=| ");
	snprintf(s->name, sizeof s->name, "%.*s", (int)name, *p);
	s->value = (*p)[name] == '=';
	s->letter = (*p)[name] == '|' ? (*p)[name + 1] : '\0';
	*p += n;
	return true;
}

static bool
find_spec(const char *list, const char *name, size_t n, char letter, struct cli_spec *s)
{
	while (cli_next_spec(&list, s)) {
		if (letter != '\0' ? s->letter == letter : strlen(s->name) == n && memcmp(s->name, name, n) == 0)
			return true;
	}
	return false;
}

static int
unknown_option(const struct cli *c, const char *typed)
{
	const char *lists[2] = { c->command != NULL ? c->command->options : "", cli_everywhere };
	struct cli_spec s, best = { "", 0, false };
	int distance = 99;

	for (int i = 0; i < 2; i++) {
		for (const char *p = lists[i]; cli_next_spec(&p, &s);) {
			int d = near_distance(typed + strspn(typed, "-"), s.name);

			if (d < distance && near_enough(typed + strspn(typed, "-"), d)) {
				distance = d;
				best = s;
			}
		}
	}
	if (best.name[0] != '\0')
		return cli_usage(c, "unknown option %s; did you mean --%s?", typed, best.name);
	return cli_usage(c, "unknown option %s; `at-rund %s--help` lists them", typed, c->command != NULL ? "COMMAND " : "");
}

/* One option at argv[*i]; 0, or an exit code after saying why. */
static int
take_option(struct cli *c, char **argv, int *i)
{
	const char *list = c->command != NULL ? c->command->options : "";
	const char *word = argv[*i], *name = word + 2, *value = NULL;
	struct cli_spec s;
	size_t n = strcspn(name, "=");

	if (word[1] == '-' ? !find_spec(list, name, n, '\0', &s) && !find_spec(cli_everywhere, name, n, '\0', &s) :
	    word[2] != '\0' || (!find_spec(list, "", 0, word[1], &s) && !find_spec(cli_everywhere, "", 0, word[1], &s)))
		return unknown_option(c, word);
	if (word[1] == '-' && name[n] == '=') {
		if (!s.value)
			return cli_usage(c, "--%s takes no value", s.name);
		value = name + n + 1;
	} else if (s.value) {
		if (argv[*i + 1] == NULL || strncmp(argv[*i + 1], "--", 2) == 0)
			return cli_usage(c, "--%s needs a value", s.name);
		value = argv[++*i];
	}
	if (strcmp(s.name, "json") == 0)
		c->json = true;
	else if (strcmp(s.name, "config") == 0)
		c->config = value;
	else if (strcmp(s.name, "home") == 0 && value != NULL)
		setenv("AT_RUND_HOME", value, 1);
	else if (c->opts < 16) {
		c->opt[c->opts].name = mem_str(s.name); /* for the life of the program */
		c->opt[c->opts++].value = value != NULL ? value : "";
	}
	return 0;
}

/* The command that words begin with; *used: how many of them name it. */
static const struct command *
find_command(char **words, int n, int *used)
{
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t first = strcspn(k->name, " ");
		const char *second = k->name[first] == ' ' ? k->name + first + 1 : NULL;

		if (n == 0 || strlen(words[0]) != first || strncmp(words[0], k->name, first) != 0)
			continue;
		if (second == NULL || (n > 1 && strcmp(words[1], second) == 0)) {
			*used = second == NULL ? 1 : 2;
			return k;
		}
	}
	return NULL;
}

/* The words name no command: a list of those in the group, or the nearest. */
static int
unknown_command(const struct cli *c, char **words, int n)
{
	const char *best = NULL;
	struct buf typed = BUF_INIT, group = BUF_INIT;
	int distance = 99, code;

	buf_fmt(&typed, "%.60s%s%.60s", words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t first = strcspn(k->name, " ");
		bool pair = k->name[first] == ' ';
		int d = near_distance(pair ? typed.data : words[0], k->name);

		if (pair && strlen(words[0]) == first && strncmp(words[0], k->name, first) == 0)
			buf_fmt(&group, "%s%s", group.len > 0 ? ", " : "", k->name + first + 1);
		if (d < distance && near_enough(typed.data, d)) {
			distance = d;
			best = k->name;
		}
	}
	if (best != NULL && (group.len == 0 || n > 1))
		code = cli_usage(c, "no command %s; did you mean at-rund %s?", typed.data, best);
	else if (group.len > 0)
		code = cli_usage(c, "%.60s needs one of: %s", words[0], group.data);
	else
		code = cli_usage(c, "no command %s; `at-rund --help` lists them", typed.data);
	buf_clear(&typed);
	buf_clear(&group);
	return code;
}

/* Words and options may come in any order; "--" ends the options. */
static int
parse(struct cli *c, int argc, char **argv)
{
	char *words[16];
	int n = 0, used = 0, code;

	/* First the words alone, for the options depend on the command. */
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			c->json = true;
		if (strcmp(argv[i], "--config") == 0 || strcmp(argv[i], "--home") == 0)
			i++;
		else if (argv[i][0] != '-' && n < 2)
			words[n++] = argv[i];
	}
	c->command = find_command(words, n, &used);
	n = 0;
	for (int i = 1; i < argc; i++) {
		bool end = strcmp(argv[i], "--") == 0;

		for (i += end; end && i < argc; i++)
			if (n < 16)
				words[n++] = argv[i];
		if (end)
			break;
		if (argv[i][0] == '-' && argv[i][1] != '\0') {
			if ((code = take_option(c, argv, &i)) != 0)
				return code;
		} else if (n < 16) {
			words[n++] = argv[i];
		}
	}
	if (cli_option(c, "help") != NULL || cli_option(c, "version") != NULL)
		return 0;
	if (c->command == NULL)
		return n > 0 ? unknown_command(c, words, n) : 0;
	for (int i = used; i < n && c->args < 8; i++)
		c->arg[c->args++] = words[i];
	if (c->args < c->command->min || c->args > c->command->max)
		return cli_usage(c, "%s: at-rund %s %s", c->args < c->command->min ? "a word is missing" : "too many words",
		    c->command->name, c->command->words);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct cli c;
	int code;

	setlocale(LC_CTYPE, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN); /* `at-rund job list | head` ends by an error of write */
	c.tty = isatty(STDOUT_FILENO);
	code = parse(&c, argc, argv);
	if (code != 0)
		return code;
	c.color = c.tty && getenv("NO_COLOR") == NULL && cli_option(&c, "no-color") == NULL;
	if (cli_option(&c, "version") != NULL) {
		print_version();
	} else if (cli_option(&c, "help") != NULL && c.command != NULL) {
		help_one(c.command);
	} else if (cli_option(&c, "help") != NULL) {
		help_all();
	} else if (c.command == NULL) {
		help_all();
		code = EX_USAGE;
	} else {
		code = c.command->run(&c);
	}
	if (fflush(stdout) != 0 && code == 0)
		code = EX_IOERR;
	return code;
}
