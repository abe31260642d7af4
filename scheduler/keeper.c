#include "scheduler/keeper.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/keyring.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/notice.h"
#include "lib/receipt.h"
#include "lib/syntax.h"

#define DEPTH 5

/* --- answers --- */

static void
put_head(struct buf *out, uint64_t id, bool ok)
{
	buf_fmt(out, "{\"id\":%llu,\"ok\":%s", (unsigned long long)id, ok ? "true" : "false");
}

static void
put_error(struct buf *out, uint64_t id, const struct err *e)
{
	put_head(out, id, false);
	buf_fmt(out, ",\"kind\":\"%s\",\"name\":", err_kind_name(e->kind));
	buf_json_str(out, err_name(e));
	buf_str(out, ",\"message\":");
	buf_json_str(out, e->text);
	buf_char(out, '}');
}

void
keeper_hello(const struct keyring *keys, struct buf *out)
{
	size_t i;

	put_head(out, 0, true);
	buf_str(out, ",\"keys\":[");
	for (i = 0; i < keys->n; i++) {
		const struct keyring_key *k = &keys->key[i];

		buf_fmt(out, "%s{\"use\":\"%s\",\"number\":%d,\"key\":\"%s\",\"madeAt\":%lld}", i > 0 ? "," : "",
		    secret_use_name(k->use), k->number, k->text, (long long)k->made_at);
	}
	buf_str(out, "]}");
}

static int
serve_open(const struct keyring *keys, const cJSON *q, uint64_t id, int64_t now_ms, struct buf *out, struct err *e)
{
	struct secret_context now = { json_string(q, "author"), json_string(q, "bundle"), json_string(q, "runner"),
		json_string(q, "key"), now_ms };
	const char *box64 = json_string(q, "box");
	const struct keyring_key *k, *newest = keyring_find(keys, SECRET_USE_SECRETS, NULL);
	struct secret_env *env = NULL;
	struct buf box = BUF_INIT;
	int rc;

	if (now.author == NULL || now.bundle == NULL || now.runner == NULL || now.key == NULL || box64 == NULL ||
	    base64_parse(box64, strlen(box64), &box) != 0) {
		buf_clear(&box);
		return err_set(e, ERR_INTERNAL, "a question without its parts");
	}
	k = keyring_find(keys, SECRET_USE_SECRETS, now.key);
	if (k == NULL)
		rc = err_named(e, ERR_DENIED, "SecretUnknownKey",
		    "the secrets were sealed for the key %.60s, which this runner does not have or has no more; "
		    "their author has to seal them for %s", now.key, newest != NULL ? newest->text : "another");
	else
		rc = secret_open(&now, k->secret_key, k->public_key, box.data, box.len, &env, e);
	if (rc == 0) {
		buf_room(out, env->bytes + 128); /* no copies on the way */
		put_head(out, id, true);
		buf_fmt(out, ",\"expiresAt\":%lld}", (long long)env->expires_at);
		buf_char(out, '\0');
		buf_add(out, env->block, env->bytes);
		secret_env_unref(env);
	}
	buf_clear(&box);
	return rc;
}

/* Appends what is to be signed, for the key: 0, or -1 when these are no claims of its type. */
typedef int drawer(const char *json, size_t n, const char *kid, struct buf *out);

static int
draw_receipt(const char *json, size_t n, const char *kid, struct buf *out)
{
	struct receipt r;

	if (receipt_claims(&r, json, n, NULL) != 0)
		return -1;
	receipt_signed_part(&r, kid, out);
	receipt_clear(&r);
	return 0;
}

static int
draw_callback(const char *json, size_t n, const char *kid, struct buf *out)
{
	struct notice c;

	if (notice_claims(&c, json, n, NULL) != 0)
		return -1;
	notice_signed_part(&c, kid, out);
	notice_clear(&c);
	return 0;
}

/* Nothing is signed but a receipt and a callback, each under its own type, and of those only what lib/receipt.c and
 * lib/notice.c read. */
static int
serve_sign(const struct keyring *keys, const cJSON *q, uint64_t id, const char *what, drawer *draw, struct buf *out, struct err *e)
{
	const struct keyring_key *k = keyring_find(keys, SECRET_USE_RECEIPTS, NULL);
	const cJSON *claims = json_object(q, "claims");
	struct buf json = BUF_INIT, text = BUF_INIT;
	uint8_t sig[KEYRING_SIGNATURE];
	int rc = -1;

	if (claims != NULL)
		json_print(claims, &json);
	if (claims == NULL || draw(json.data, json.len, k != NULL ? k->text : "", &text) != 0) {
		err_set(e, ERR_INTERNAL, "a %s without its parts", what);
	} else if (k == NULL) {
		err_named(e, ERR_NOTFOUND, "NoKeys", "the runner has no key for receipts: at-rund secret rotate --receipts");
	} else {
		keyring_sign(k, text.data, text.len, sig);
		receipt_add_signature(&text, sig, sizeof sig);
		put_head(out, id, true);
		buf_fmt(out, ",\"%s\":\"%s\"}", what, text.data);
		rc = 0;
	}
	buf_clear(&json);
	buf_clear(&text);
	return rc;
}

void
keeper_serve(const struct keyring *keys, const char *message, size_t n, int64_t now_ms, struct buf *out)
{
	cJSON *q = json_parse(message, n, DEPTH, NULL);
	const char *op = json_string(q, "op");
	struct err e = ERR_INIT;
	int64_t id = 0;
	int rc = -1;

	if (op == NULL || json_int(q, "id", 1, INT64_C(9007199254740991), &id, &e) != 0 || id == 0)
		err_set(&e, ERR_INTERNAL, "no question");
	else if (strcmp(op, "open") == 0)
		rc = serve_open(keys, q, (uint64_t)id, now_ms, out, &e);
	else if (strcmp(op, "receipt") == 0)
		rc = serve_sign(keys, q, (uint64_t)id, op, draw_receipt, out, &e);
	else if (strcmp(op, "callback") == 0)
		rc = serve_sign(keys, q, (uint64_t)id, op, draw_callback, out, &e);
	else
		err_set(&e, ERR_INTERNAL, "the keeper knows no such operation");
	if (rc != 0)
		put_error(out, (uint64_t)id, &e);
	cJSON_Delete(q);
}

/* --- messages --- */

static void
put_length(char *at, size_t n)
{
	at[0] = (char)(n >> 24);
	at[1] = (char)(n >> 16);
	at[2] = (char)(n >> 8);
	at[3] = (char)n;
}

long
keeper_message_next(const char *p, size_t n, const char **message, size_t *message_n, struct err *e)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t len;

	if (n < 4)
		return 0;
	len = (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
	if (len < 2 || len > KEEPER_MESSAGE_MAX)
		return err_set(e, ERR_INTERNAL, "a message of %u bytes between scheduler and keeper", len);
	if (n - 4 < len)
		return 0;
	*message = p + 4;
	*message_n = len;
	return 4 + (long)len;
}

/* out begins with four bytes of room for the length.  What it held is wiped: it may have been secret. */
static int
send_message(int fd, struct buf *out)
{
	size_t at = 0;

	put_length(out->data, out->len - 4);
	while (at < out->len) {
		ssize_t n = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	secret_wipe(out->data, out->len);
	buf_reset(out);
	buf_add(out, "\0\0\0", 4);
	return at > 0 ? 0 : -1;
}

/* --- the process --- */

/*
 * Before the keys are read: no core, no ptrace and no /proc/PID/mem by others of our user, no new rights, and gone with the
 * scheduler.
 */
static void
go_dark(void)
{
	struct rlimit none = { 0, 0 };

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define ALLOW(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/*
 * After: what it takes to answer on a socket that is open, and nothing that opens, connects or starts anything.  All else
 * fails with EPERM; a call by another architecture's numbers ends the process.
 */
static int
close_doors(void)
{
#if defined(ARCH) && !defined(__SANITIZE_ADDRESS__)
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read), ALLOW(sendto), ALLOW(write), ALLOW(writev), ALLOW(brk), ALLOW(mmap), ALLOW(munmap),
		ALLOW(mremap), ALLOW(mprotect), ALLOW(madvise), ALLOW(mlock), ALLOW(munlock), ALLOW(getrandom),
		ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(futex), ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask),
		ALLOW(exit), ALLOW(exit_group), ALLOW(getpid), ALLOW(gettid), ALLOW(close),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = { sizeof rules / sizeof rules[0], rules };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#else
	errno = ENOSYS;
	return -1;
#endif
}

static int
serve(int fd, const struct keyring *keys, struct buf *out)
{
	struct buf in = BUF_INIT;
	struct err e = ERR_INIT;
	const char *message = NULL;
	size_t n = 0;
	long took = 0;

	buf_room(&in, 4 + KEEPER_MESSAGE_MAX);
	while (took >= 0) {
		ssize_t got = read(fd, buf_room(&in, 4096), 4096);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return EX_OK;
		in.len += (size_t)got;
		while ((took = keeper_message_next(in.data, in.len, &message, &n, &e)) > 0) {
			keeper_serve(keys, message, n, clock_wall_ms(), out);
			if (send_message(fd, out) != 0)
				return EX_OK;
			buf_drop(&in, (size_t)took);
		}
	}
	log_error("keeper", "why=%s", log_q(e.text));
	return EX_PROTOCOL;
}

int
keeper_main(int fd, const char *keys_dir, const char *credentials)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct keyring *keys;

	go_dark();
	buf_room(&out, 4 + KEEPER_MESSAGE_MAX);
	buf_add(&out, "\0\0\0", 4);
	keys = keyring_load(keys_dir, credentials, true, &e);
	if (keys == NULL) {
		put_error(&out, 0, &e);
		send_message(fd, &out);
		return EX_NOPERM;
	}
	log_debug("keeper reads the keys", "n=%zu lent=%d", keys->n, keyring_from_credentials(credentials));
	if (close_doors() != 0)
		log_warn("keeper without seccomp", "why=%s", log_q(strerror(errno)));
	keeper_hello(keys, &out);
	if (send_message(fd, &out) != 0)
		return EX_OK;
	return serve(fd, keys, &out);
}

/* --- the scheduler's side --- */

void
keeper_ask_open(struct buf *out, uint64_t id, const struct secret_context *c, const void *box, size_t n)
{
	size_t at = out->len;

	buf_add(out, "\0\0\0", 4);
	buf_fmt(out, "{\"id\":%llu,\"op\":\"open\",\"author\":", (unsigned long long)id);
	buf_json_str(out, c->author);
	buf_str(out, ",\"bundle\":");
	buf_json_str(out, c->bundle);
	buf_str(out, ",\"runner\":");
	buf_json_str(out, c->runner);
	buf_str(out, ",\"key\":");
	buf_json_str(out, c->key);
	buf_str(out, ",\"box\":\"");
	base64_print(box, n, out);
	buf_str(out, "\"}");
	put_length(out->data + at, out->len - at - 4);
}

void
keeper_ask_receipt(struct buf *out, uint64_t id, const struct receipt *r)
{
	size_t at = out->len;

	buf_add(out, "\0\0\0", 4);
	buf_fmt(out, "{\"id\":%llu,\"op\":\"receipt\",\"claims\":", (unsigned long long)id);
	receipt_json(r, out);
	buf_char(out, '}');
	put_length(out->data + at, out->len - at - 4);
}

void
keeper_ask_callback(struct buf *out, uint64_t id, const struct notice *n)
{
	size_t at = out->len;

	buf_add(out, "\0\0\0", 4);
	buf_fmt(out, "{\"id\":%llu,\"op\":\"callback\",\"claims\":", (unsigned long long)id);
	notice_json(n, out);
	buf_char(out, '}');
	put_length(out->data + at, out->len - at - 4);
}

static int
read_keys(const cJSON *list, struct keeper_answer *out)
{
	const cJSON *item;
	int n = cJSON_GetArraySize(list);

	if (list == NULL || n < 1 || n > KEYRING_MAX)
		return -1;
	out->keys = mem_array((size_t)n, sizeof *out->keys);
	cJSON_ArrayForEach(item, list)
	{
		struct keeper_key *k = &out->keys[out->n_keys];
		const char *use = json_string(item, "use"), *key = json_string(item, "key");
		uint8_t raw[SECRET_KEY_BYTES];
		int64_t number = 0;
		int u;

		for (u = 0; u < SECRET_USE_COUNT; u++)
			if (use != NULL && strcmp(use, secret_use_name((enum secret_use)u)) == 0)
				break;
		if (u == SECRET_USE_COUNT || key == NULL || secret_key_parse((enum secret_use)u, key, raw, NULL) != 0 ||
		    json_int(item, "number", 1, 1000000000, &number, NULL) != 0 || number == 0 ||
		    json_int(item, "madeAt", 0, INT64_C(9007199254740991), &k->made_at, NULL) != 0)
			return -1;
		k->use = (enum secret_use)u;
		k->number = (int)number;
		memcpy(k->key, key, strlen(key) + 1);
		out->n_keys++;
	}
	return 0;
}

static int
read_refusal(const cJSON *tree, struct keeper_answer *out)
{
	const char *kind = json_string(tree, "kind"), *name = json_string(tree, "name"), *text = json_string(tree, "message");
	int k;

	if (kind == NULL || name == NULL || text == NULL || strlen(name) >= sizeof out->error.name)
		return -1;
	for (k = ERR_NONE + 1; k < ERR_KIND_COUNT; k++)
		if (strcmp(kind, err_kind_name((enum err_kind)k)) == 0)
			break;
	if (k == ERR_KIND_COUNT)
		return -1;
	err_named(&out->error, (enum err_kind)k, name, "%s", text);
	return 0;
}

/* What an ok answer brings: keys, something signed, or bytes behind the JSON. */
static int
read_gift(const cJSON *tree, const char *block, size_t n, struct keeper_answer *out)
{
	const char *receipt = json_string(tree, "receipt"), *callback = json_string(tree, "callback");
	int64_t expires_at = -1;

	if (out->id == 0)
		return read_keys(json_array(tree, "keys"), out);
	if (receipt != NULL && strlen(receipt) <= RECEIPT_MAX) {
		out->receipt = mem_str(receipt);
		return 0;
	}
	if (callback != NULL && strlen(callback) <= NOTICE_MAX) {
		out->callback = mem_str(callback);
		return 0;
	}
	if (block == NULL || json_int(tree, "expiresAt", 0, INT64_C(9007199254740991), &expires_at, NULL) != 0 || expires_at < 0)
		return -1;
	out->env = secret_env_new(block, n, expires_at);
	return out->env != NULL ? 0 : -1;
}

int
keeper_answer_parse(const char *message, size_t n, struct keeper_answer *out, struct err *e)
{
	const char *nul = memchr(message, '\0', n), *block = nul != NULL ? nul + 1 : NULL;
	cJSON *tree = json_parse(message, nul != NULL ? (size_t)(nul - message) : n, DEPTH, NULL);
	bool ok = false;
	int64_t id = -1;
	int rc = -1;

	memset(out, 0, sizeof *out);
	if (tree != NULL && json_int(tree, "id", 0, INT64_C(9007199254740991), &id, NULL) == 0 && id >= 0 &&
	    json_bool(tree, "ok", &ok, NULL) == 0) {
		out->id = (uint64_t)id;
		rc = ok ? read_gift(tree, block, block != NULL ? (size_t)(message + n - block) : 0, out) :
		    read_refusal(tree, out);
	}
	cJSON_Delete(tree);
	if (rc == 0)
		return 0;
	keeper_answer_clear(out);
	return err_set(e, ERR_INTERNAL, "the keeper's answer is none");
}

void
keeper_answer_clear(struct keeper_answer *a)
{
	free(a->keys);
	secret_env_unref(a->env);
	free(a->receipt);
	free(a->callback);
	memset(a, 0, sizeof *a);
}
