#include "lib/access.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/conf.h"

static const char *
operator_did(const struct conf *c)
{
	return c->operator != NULL ? c->operator : c->did;
}

/* A did:web may be of the runner alone, then the handle says who the operator is. */
const char *
access_operator(const struct conf *c)
{
	const char *did = operator_did(c);

	return c->operator == NULL && c->handle != NULL && (did == NULL || strncmp(did, "did:plc:", 8) != 0) ? c->handle : did;
}

struct access
access_authors(const struct conf *c)
{
	return (struct access){ "access", c->access.mode, c->access.list, operator_did(c), &c->access.allowlist, &c->access.blocklist };
}

struct access
access_callers(const struct conf *c)
{
	return (struct access){ "callers", c->callers.mode, c->callers.list, operator_did(c), &c->callers.allowlist,
		&c->callers.blocklist };
}

static bool
on(const struct conf_list *l, const char *did)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->item[i], did) == 0)
			return true;
	return false;
}

static enum access_said say(char *why, enum access_said said, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum access_said
say(char *why, enum access_said said, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return said;
	va_start(ap, fmt);
	vsnprintf(why, ACCESS_WHY, fmt, ap);
	va_end(ap);
	return said;
}

struct edge {
	const char *yes, *no; /* words behind the DID */
};
static const struct edge edges[] = {
	[EDGE_FOLLOWED] = { "is followed by the operator", "is not followed by the operator" },
	[EDGE_FOLLOWS] = { "follows the operator", "does not follow the operator" },
	[EDGE_LISTED] = { "is on the list", "is not on the list" },
};

static enum access_said
by_edge(const struct access *a, enum access_edge edge, const char *did, const struct access_facts *f, char *why)
{
	switch (f->ask(f->arg, edge, a->list, did)) {
	case FACT_YES:
		return say(why, ACCESS_YES, "%.100s %s (%s.mode = %s)", did, edges[edge].yes, a->section, a->mode);
	case FACT_NO:
		return say(why, ACCESS_NO, "%.100s %s (%s.mode = %s)", did, edges[edge].no, a->section, a->mode);
	default:
		return say(why, ACCESS_NOT_KNOWN, "it is not known yet whether %.100s %s (%s.mode = %s)", did, edges[edge].yes,
		    a->section, a->mode);
	}
}

static enum access_said
by_mode(const struct access *a, const char *did, const struct access_facts *f, char *why)
{
	const char *mode = a->mode;
	enum access_said said;

	if (strcmp(mode, "open") == 0)
		return say(why, ACCESS_YES, "everybody may (%s.mode = open)", a->section);
	if (strcmp(mode, "known") == 0)
		return say(why, ACCESS_YES, "whoever proves who they are may (%s.mode = known)", a->section);
	if (strcmp(mode, "blocklist") == 0)
		return say(why, ACCESS_YES, "%.100s is not on %s.blocklist (%s.mode = blocklist)", did, a->section, a->section);
	if (strcmp(mode, "follows") == 0)
		return by_edge(a, EDGE_FOLLOWED, did, f, why);
	if (strcmp(mode, "list") == 0)
		return by_edge(a, EDGE_LISTED, did, f, why);
	if (strcmp(mode, "mutuals") == 0) {
		/* Whom the operator does not follow is not asked about: that would be a question of anybody's choice. */
		said = by_edge(a, EDGE_FOLLOWED, did, f, why);
		return said == ACCESS_YES ? by_edge(a, EDGE_FOLLOWS, did, f, why) : said;
	}
	return say(why, ACCESS_NO, "%.100s is not on %s.allowlist (%s.mode = %s)", did, a->section, a->section, mode);
}

enum access_said
access_says(const struct access *a, const char *did, const struct access_facts *f, char *why)
{
	if (did == NULL && strcmp(a->mode, "open") == 0)
		return say(why, ACCESS_YES, "everybody may (%s.mode = open)", a->section);
	if (did == NULL)
		return say(why, ACCESS_ANONYMOUS, "nobody may without a token that says who they are (%s.mode = %s)", a->section,
		    a->mode);
	if (on(a->block, did))
		return say(why, ACCESS_NO, "%.100s is on %s.blocklist", did, a->section);
	if (a->operator_did != NULL && strcmp(did, a->operator_did) == 0)
		return say(why, ACCESS_YES, "%.100s runs this runner (did)", did);
	if (on(a->allow, did))
		return say(why, ACCESS_YES, "%.100s is on %s.allowlist", did, a->section);
	return by_mode(a, did, f, why);
}
