/*
 * What the operator grants beyond what everybody has ([grants] of the config): entries "WHO WHAT".
 *
 *     WHO    *  everybody     DID  an author     DID/name  one bundle     local, local/name  in dev.bundles
 *     WHAT   an absolute path of the host, or the name of an environment variable
 */
#ifndef LIB_GRANT_H
#define LIB_GRANT_H

#include <stdbool.h>

struct conf_list;

/* For the config: is this an entry, with a path or with a name? */
bool grant_is_path(const char *entry);
bool grant_is_name(const char *entry);
/* The path of the entry that gives the bundle this path or one above it; NULL: none does. */
const char *grant_path(const struct conf_list *entries, const char *author, const char *name, const char *path);
bool grant_name(const struct conf_list *entries, const char *author, const char *name, const char *variable);
/* Does the entry begin with a WHO? */
bool grant_is_for(const char *entry);
/* The WHAT of the first entry for this bundle, NULL: none is. */
const char *grant_find(const struct conf_list *entries, const char *author, const char *name);
/* Of an entry that is one. */
const char *grant_what(const char *entry);

#endif
