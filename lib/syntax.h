/*
 * What the AT Protocol's names look like.  Pure questions over n bytes; no NUL is needed behind them and one inside
 * makes the answer no.  The rules are those of the specifications (facts B.1 to B.4) and of the public vectors.
 */
#ifndef LIB_SYNTAX_H
#define LIB_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYNTAX_ENV_MAX      128
#define SYNTAX_DID_MAX      2048
#define SYNTAX_HANDLE_MAX   253
#define SYNTAX_NSID_MAX     317
#define SYNTAX_RKEY_MAX     512
#define SYNTAX_URI_MAX      8192
#define SYNTAX_CID_MAX      256
#define SYNTAX_BUNDLE_MAX   128
#define SYNTAX_VERSION_MAX  128
#define SYNTAX_ENDPOINT_MAX 128

bool syntax_did(const char *s, size_t n);
bool syntax_handle(const char *s, size_t n); /* any letter case; handle.invalid and .test included */
bool syntax_nsid(const char *s, size_t n);
bool syntax_rkey(const char *s, size_t n);
bool syntax_tid(const char *s, size_t n);
bool syntax_aturi(const char *s, size_t n);
bool syntax_at_identifier(const char *s, size_t n); /* a DID or a handle */
bool syntax_env_name(const char *s, size_t n);      /* of an environment variable: letters, digits, _ */
bool syntax_datetime(const char *s, size_t n);      /* syntax and meaning: month 13 is refused */
int64_t syntax_datetime_ms(const char *s);          /* unix ms, whole seconds; -1 when it is none */
bool syntax_language(const char *s, size_t n);
bool syntax_cid(const char *s, size_t n); /* any CIDv1 spelling; lib/cid.h takes only those we can check */
bool syntax_uri(const char *s, size_t n);

/* A DID of a method that can be resolved: did:plc in its exact form, did:web of a plain host name.
 * dev: also did:web:localhost and ports (%3A1234). */
bool syntax_did_known(const char *s, size_t n, bool dev);
/* A handle whose last label may be looked up: not .alt .arpa .example .internal .invalid .local .localhost .onion,
 * and .test only with dev. */
bool syntax_handle_public(const char *s, size_t n, bool dev);

/* Our own names (DESIGN 6): characters of a record key but ':', which divides name and version. */
bool syntax_bundle_name(const char *s, size_t n);
bool syntax_version(const char *s, size_t n);
/* An exported name: letters, digits, '_', '-', '$'; does not start with a digit or '-'. */
bool syntax_endpoint(const char *s, size_t n);

/* Handles are compared in lower case (ASCII only, in place). */
void syntax_handle_lower(char *s);

#endif
