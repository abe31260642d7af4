/*
 * The keeper as the loop sees it: questions go out, answers come back as events.  The role is a process of its own, started
 * when there is a question and ended when there was none for a while; a runner whose bundles have no secrets has none.
 */
#ifndef SCHEDULER_KEEP_H
#define SCHEDULER_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct err;
struct keep;
struct keeper_key;
struct notice;
struct receipt;
struct secret_context;
struct secret_env;

/* All are called from the loop.  who is what the question said; exactly one of the gift and why is there. */
struct keep_events {
	void (*keys)(void *arg, const struct keeper_key *keys, size_t n); /* each time a keeper has read them */
	void (*opened)(void *arg, int64_t who, struct secret_env *env /* borrowed */, const struct err *why);
	void (*signed_)(void *arg, int64_t who, const char *receipt, const struct err *why);
	void (*notice)(void *arg, int64_t who, const char *signature, const struct err *why);
};

/* program: our own executable, absolute.  All is borrowed. */
struct keep *keep_new(const struct conf *c, const char *program, const struct keep_events *events, void *arg);
/* Starts the process, so that its keys are heard of. */
void keep_look(struct keep *k);
/* Ends the process: keys have changed.  Questions that are open are asked again. */
void keep_forget(struct keep *k);
void keep_open(struct keep *k, int64_t who, const struct secret_context *c, const void *box, size_t n);
void keep_sign(struct keep *k, int64_t who, const struct receipt *r);
void keep_sign_notice(struct keep *k, int64_t who, const struct notice *n);
void keep_stop(struct keep *k); /* ends the role; no answers any more */
bool keep_gone(const struct keep *k);
void keep_free(struct keep *k); /* after that, or when the loop runs no more */

#endif
