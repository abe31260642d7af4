/*
 * completion: what a shell needs to complete at-rund.  It follows from the table of commands, like help and hints.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "lib/near.h"

/* The group of "job list" is "job"; true when an earlier command had the same. */
static bool
group_seen(const struct command *k, size_t n)
{
	for (const struct command *o = cli_commands; o < k; o++) {
		if (strncmp(o->name, k->name, n) == 0 && o->name[n] == ' ')
			return true;
	}
	return false;
}

static void
options(const char *list, const char *before)
{
	struct cli_spec s;

	while (cli_next_spec(&list, &s))
		printf("%s--%s", before, s.name);
}

/* ---- bash ---- */

static void
bash(void)
{
	fputs("# bash completion for at-rund; made by: at-rund completion bash\n"
	    "_at_rund()\n{\n"
	    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} cmd='' words='' options='' i\n"
	    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\t[[ ${COMP_WORDS[i]} == -* ]] || cmd=\"$cmd${cmd:+ }${COMP_WORDS[i]}\"\n"
	    "\tdone\n"
	    "\tcase $cmd in\n", stdout);
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		printf("\t'%s' | '%s '*) options='", k->name, k->name);
		options(k->options, " ");
		puts("' ;;");
	}
	fputs("\tesac\n\tcase $cmd in\n\t'') words='", stdout);
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t n = strcspn(k->name, " ");

		if (k->name[n] == '\0' || !group_seen(k, n))
			printf(" %.*s", (int)n, k->name);
	}
	puts("' ;;");
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t n = strcspn(k->name, " ");

		if (k->name[n] == '\0' || group_seen(k, n))
			continue;
		printf("\t'%.*s') words='", (int)n, k->name);
		for (const struct command *o = k; o->name != NULL; o++) {
			if (strncmp(o->name, k->name, n) == 0 && o->name[n] == ' ')
				printf(" %s", o->name + n + 1);
		}
		puts("' ;;");
	}
	fputs("\tesac\n\t[[ $cur != -* ]] || words=\"$options", stdout);
	options(cli_everywhere, " ");
	fputs("\"\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
	    "complete -o default -F _at_rund at-rund\n", stdout);
}

/* ---- zsh, fish ---- */

/* Help inside single quotes. */
static void
quoted(const char *s, const char *escape)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			fputs("'\\''", stdout);
		else if (strchr(escape, *s) != NULL)
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

static void
zsh(void)
{
	fputs("#compdef at-rund\n# zsh completion for at-rund; made by: at-rund completion zsh\n"
	    "_at_rund() {\n\tlocal cmd=\"${(j: :)${(@)words[2,CURRENT-1]:#-*}}\"\n\tlocal -a list\n"
	    "\tif [[ $PREFIX == -* ]]; then\n\t\tcase $cmd in\n", stdout);
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		printf("\t\t'%s'|'%s '*) list=(", k->name, k->name);
		options(k->options, " ");
		puts(") ;;");
	}
	fputs("\t\tesac\n\t\tcompadd --", stdout);
	options(cli_everywhere, " ");
	fputs(" $list\n\t\treturn\n\tfi\n\tcase $cmd in\n\t'') list=(", stdout);
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t n = strcspn(k->name, " ");

		if (k->name[n] != '\0' && group_seen(k, n))
			continue;
		printf(" '%.*s:", (int)n, k->name);
		quoted(k->name[n] == '\0' ? k->help : "...", ":");
		putchar('\'');
	}
	puts(") ;;");
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t n = strcspn(k->name, " ");

		if (k->name[n] == '\0' || group_seen(k, n))
			continue;
		printf("\t'%.*s') list=(", (int)n, k->name);
		for (const struct command *o = k; o->name != NULL; o++) {
			if (strncmp(o->name, k->name, n) != 0 || o->name[n] != ' ')
				continue;
			printf(" '%s:", o->name + n + 1);
			quoted(o->help, ":");
			putchar('\'');
		}
		puts(") ;;");
	}
	fputs("\tesac\n\tif (( $#list )); then _describe command list; else _files; fi\n}\n_at_rund \"$@\"\n", stdout);
}

static void
fish_options(const char *list, const char *condition)
{
	struct cli_spec s;

	while (cli_next_spec(&list, &s)) {
		printf("complete -c at-rund%s -l %s", condition, s.name);
		if (s.letter != '\0')
			printf(" -s %c", s.letter);
		puts(s.value ? " -r" : "");
	}
}

static void
fish(void)
{
	char condition[160];

	puts("# fish completion for at-rund; made by: at-rund completion fish");
	for (const struct command *k = cli_commands; k->name != NULL; k++) {
		size_t n = strcspn(k->name, " ");

		if (k->name[n] == '\0' || !group_seen(k, n)) {
			printf("complete -c at-rund -f -n __fish_use_subcommand -a %.*s -d '", (int)n, k->name);
			quoted(k->name[n] == '\0' ? k->help : "...", "");
			puts("'");
		}
		if (k->name[n] == ' ') {
			printf("complete -c at-rund -f -n '__fish_seen_subcommand_from %.*s' -a %s -d '", (int)n, k->name, k->name + n + 1);
			quoted(k->help, "");
			puts("'");
		}
		snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %.*s%s%s'", (int)n, k->name,
		    k->name[n] == ' ' ? "; and __fish_seen_subcommand_from " : "", k->name[n] == ' ' ? k->name + n + 1 : "");
		fish_options(k->options, condition);
	}
	fish_options(cli_everywhere, "");
}

int
cmd_completion(struct cli *c)
{
	static const char *const shells[] = { "bash", "zsh", "fish", NULL };
	const char *near;

	if (strcmp(c->arg[0], "bash") == 0) {
		bash();
	} else if (strcmp(c->arg[0], "zsh") == 0) {
		zsh();
	} else if (strcmp(c->arg[0], "fish") == 0) {
		fish();
	} else {
		near = near_word(c->arg[0], shells);
		return cli_usage(c, "no completion for %.40s; there is bash, zsh and fish%s%s%s", c->arg[0], near != NULL ?
		    "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
	}
	return 0;
}
