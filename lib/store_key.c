#include "lib/store_key.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/store_front.h"
#include "lib/store_internal.h"

static char *
scope_of(const struct front_job *j)
{
	return mem_fmt("%s/%s", j->author, j->bundle);
}

static void
read_twin(struct front_job *j, sqlite3_stmt *q)
{
	const char *nonce = see_text(q, 2);

	if (see_int(q, 0) < j->keys_after || see_int(q, 3) != 0)
		return;
	j->met = see_int(q, 4) != 0 ? MET_TWIN : MET_OTHER;
	j->twin.row = see_int(q, 1);
	if (nonce != NULL && strlen(nonce) == JOB_NONCE_LEN)
		memcpy(j->twin.nonce, nonce, JOB_NONCE_LEN + 1);
}

int
key_meet(struct store *s, struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_KEY_FIND, e);
	char *scope = scope_of(j);
	int rc = -1;

	if (q == NULL)
		goto out;
	bind_text(q, FRONT_KEY_FIND_VERSION, j->version);
	bind_text(q, FRONT_KEY_FIND_ENDPOINT, j->endpoint);
	bind_text(q, FRONT_KEY_FIND_METHOD, j->method);
	bind_text(q, FRONT_KEY_FIND_PATH, j->path);
	bind_text(q, FRONT_KEY_FIND_QUERY, j->query);
	bind_blob(q, FRONT_KEY_FIND_BODY, j->body_bytes > 0 ? j->body : NULL, j->body_bytes);
	bind_text(q, FRONT_KEY_FIND_CALLBACK, j->callback);
	bind_text(q, FRONT_KEY_FIND_SCOPE, scope);
	bind_text(q, FRONT_KEY_FIND_CALLER, j->caller != NULL ? j->caller : "");
	bind_text(q, FRONT_KEY_FIND_KEY, j->key);
	if ((rc = store_row(s, q, e)) == 1) {
		read_twin(j, q);
		store_done(q);
	}
out:
	free(scope);
	return rc < 0 ? -1 : 0;
}

int
key_bind(struct store *s, const struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_KEY_PUT, e);
	char *scope = scope_of(j);
	int rc = -1;

	if (q == NULL)
		goto out;
	bind_text(q, FRONT_KEY_PUT_SCOPE, scope);
	bind_text(q, FRONT_KEY_PUT_CALLER, j->caller != NULL ? j->caller : "");
	bind_text(q, FRONT_KEY_PUT_KEY, j->key);
	bind_int(q, FRONT_KEY_PUT_JOB, j->id.row);
	bind_int(q, FRONT_KEY_PUT_NOW, j->created_at);
	rc = store_run(s, q, e);
out:
	free(scope);
	return rc < 0 ? -1 : 0;
}

int
key_prune(struct store *s, int64_t before, int max, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_KEYS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_KEYS_MAX, max);
	bind_int(q, WORK_PRUNE_KEYS_BEFORE, before);
	return store_run(s, q, e);
}
