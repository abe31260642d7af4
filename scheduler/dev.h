/*
 * [dev] bundles = DIR: bundles straight from a folder, of the pseudo-author 'local', with --dev only.
 *
 * DIR/NAME/ with bundle.json (the record without code) or a main file, or the single file DIR/NAME.ts, .mjs, .js, .py.
 * The pseudo-CID is a hash of what stat says of every file; inotify says whether to look again, so a change is seen by
 * the next call.
 */
#ifndef SCHEDULER_DEV_H
#define SCHEDULER_DEV_H

struct catalog;
struct code;
struct conf;
struct dev;
struct err;
struct runtimes;

struct dev *dev_new(const struct conf *c, const struct runtimes *rs, struct catalog *cat);
void dev_free(struct dev *d);
/* Said before a batch of jobs is read: all of them stand in the ledger before the first question, so that one look for
 * changes is good for the batch. */
void dev_batch(struct dev *d);
/* The code as it stands now (borrowed until the next turn); ERR_NOTFOUND "BundleNotFound", ERR_INPUT "InvalidBundle". */
struct code *dev_find(struct dev *d, const char *name, const char *version, struct err *e);

#endif
