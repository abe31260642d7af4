/*
 * bare: what `make bench` measures the product against (DESIGN 17).  The same libfcgi thread pool and the same
 * warm executors, with no database and no scheduler in between: a request thread takes a free executor, writes CALL,
 * reads HEAD and BODY, answers.  It checks nothing, keeps nothing and is no way to host anybody's code.
 *
 *     bare --threads 64 --instances 4 --dir BUNDLE_DIR --entry main.mjs -- node executor.mjs   (listen socket on fd 0)
 */
#include <fcgiapp.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/frame.h"
#include "lib/mem.h"

extern char **environ;

struct executor {
	int fd;
	uint32_t call;
	struct buf in;
	struct executor *next;
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER, accept_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_free = PTHREAD_COND_INITIALIZER;
static struct executor *pool;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct executor *
take(void)
{
	struct executor *x;

	pthread_mutex_lock(&pool_lock);
	while (pool == NULL)
		pthread_cond_wait(&pool_free, &pool_lock);
	x = pool;
	pool = x->next;
	pthread_mutex_unlock(&pool_lock);
	return x;
}

static void
give(struct executor *x)
{
	pthread_mutex_lock(&pool_lock);
	x->next = pool;
	pool = x;
	pthread_cond_signal(&pool_free);
	pthread_mutex_unlock(&pool_lock);
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);
		if (w <= 0)
			fail("write to the executor");
		p += w;
		n -= (size_t)w;
	}
}

/* The next frame; f borrows from x->in until the caller drops `taken` bytes. */
static long
receive(struct executor *x, struct frame *f)
{
	struct err e = ERR_INIT;
	long taken;

	while ((taken = frame_next(x->in.data, x->in.len, f, &e)) == 0) {
		ssize_t n = read(x->fd, buf_room(&x->in, 65536), 65536);
		if (n <= 0)
			fail("read from the executor");
		x->in.len += (size_t)n;
	}
	if (taken < 0) {
		fprintf(stderr, "bare: %s\n", e.text);
		exit(1);
	}
	return taken;
}

static void
await_kind(struct executor *x, enum frame_kind kind)
{
	struct frame f;
	long taken;

	do {
		taken = receive(x, &f);
		if (f.kind == FRAME_ERROR) {
			fprintf(stderr, "bare: %.*s\n", (int)f.length, f.data);
			exit(1);
		}
		buf_drop(&x->in, (size_t)taken);
	} while (f.kind != kind);
}

static struct executor *
start(char **command, int n, const char *dir, const char *entry)
{
	struct executor *x = mem_alloc(sizeof *x);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *argv[32];
	struct buf load = BUF_INIT;
	pid_t pid;
	int i;

	snprintf(at.sun_path, sizeof at.sun_path, "/tmp/bare.%d.%d", (int)getpid(), n);
	unlink(at.sun_path);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0)
		fail(at.sun_path);
	for (i = 0; command[i] != NULL && i < 30; i++)
		argv[i] = command[i];
	argv[i++] = at.sun_path;
	argv[i] = NULL;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		fail(argv[0]);
	if ((x->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		fail("accept");
	close(listener);
	unlink(at.sun_path);
	await_kind(x, FRAME_HELLO);
	buf_fmt(&load, "{\"dir\":\"%s\",\"entry\":\"%s\",\"env\":{},\"bundle\":\"bench\",\"cid\":\"bench\"}", dir, entry);
	struct buf out = BUF_INIT;
	frame_add(&out, FRAME_LOAD, true, 0, load.data, load.len);
	send_all(x->fd, out.data, out.len);
	buf_clear(&out);
	buf_clear(&load);
	await_kind(x, FRAME_READY);
	return x;
}

/* {"status":200,"headers":[["content-type","application/json"]]} in its simplest reading. */
static void
print_head(FCGX_Request *r, const struct frame *f)
{
	char head[1024], type[128] = "application/octet-stream";
	const char *p;
	int status = 200;
	size_t n = f->length < sizeof head - 1 ? f->length : sizeof head - 1;

	memcpy(head, f->data, n);
	head[n] = '\0';
	if ((p = strstr(head, "\"status\":")) != NULL)
		status = atoi(p + 9);
	if ((p = strstr(head, "\"content-type\",\"")) != NULL)
		snprintf(type, sizeof type, "%.*s", (int)strcspn(p + 16, "\""), p + 16);
	FCGX_FPrintF(r->out, "Status: %d OK\r\nContent-Type: %s\r\n\r\n", status, type);
}

static void
serve(FCGX_Request *r, struct buf *out)
{
	struct executor *x = take();
	struct buf call = BUF_INIT;
	const char *uri = FCGX_GetParam("REQUEST_URI", r->envp), *method = FCGX_GetParam("REQUEST_METHOD", r->envp);
	const char *name;
	char endpoint[64];
	struct frame f;
	bool last = false;

	/* /bundle/local/NAME/latest/ENDPOINT, as the product has it. */
	name = uri != NULL ? strrchr(uri, '/') : NULL;
	snprintf(endpoint, sizeof endpoint, "%s", name != NULL ? name + 1 : "hello");
	endpoint[strcspn(endpoint, "?")] = '\0';
	buf_str(&call, "{\"job\":\"1-0\",\"endpoint\":");
	buf_json_str(&call, endpoint);
	buf_str(&call, ",\"method\":");
	buf_json_str(&call, method);
	buf_str(&call, ",\"url\":\"http://127.0.0.1/bundle/local/bench/latest/hello\",\"path\":\"\",\"query\":\"\","
		       "\"headers\":[[\"host\",\"127.0.0.1\"]],\"caller\":null,\"deadlineMs\":30000}");
	buf_reset(out);
	x->call++;
	frame_add(out, FRAME_CALL, true, x->call, call.data, call.len);
	buf_clear(&call);
	send_all(x->fd, out->data, out->len);
	while (!last) {
		long taken = receive(x, &f);
		if (f.kind == FRAME_HEAD)
			print_head(r, &f);
		else if (f.kind == FRAME_BODY)
			FCGX_PutStr(f.data, (int)f.length, r->out);
		else if (f.kind == FRAME_ERROR)
			FCGX_FPrintF(r->out, "Status: 500 Internal Server Error\r\n\r\n");
		last = f.kind == FRAME_ERROR || ((f.kind == FRAME_HEAD || f.kind == FRAME_BODY) && f.last);
		buf_drop(&x->in, (size_t)taken);
	}
	give(x);
}

static void *
loop(void *arg)
{
	FCGX_Request r;
	struct buf out = BUF_INIT;

	(void)arg;
	FCGX_InitRequest(&r, 0, 0);
	for (;;) {
		pthread_mutex_lock(&accept_lock);
		int rc = FCGX_Accept_r(&r);
		pthread_mutex_unlock(&accept_lock);
		if (rc < 0)
			break;
		serve(&r, &out);
		FCGX_Finish_r(&r);
	}
	buf_clear(&out);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "threads", 1, NULL, 't' }, { "instances", 1, NULL, 'i' },
		{ "dir", 1, NULL, 'd' }, { "entry", 1, NULL, 'e' }, { NULL, 0, NULL, 0 } };
	int threads = 64, instances = 4, c, i;
	const char *dir = NULL, *entry = "main.mjs";
	pthread_t id;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			threads = atoi(optarg);
		else if (c == 'i')
			instances = atoi(optarg);
		else if (c == 'd')
			dir = optarg;
		else if (c == 'e')
			entry = optarg;
		else
			return 64;
	}
	if (dir == NULL || argv[optind] == NULL)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	FCGX_Init();
	for (i = 0; i < instances; i++)
		give(start(argv + optind, i, dir, entry));
	for (i = 1; i < threads; i++)
		if (pthread_create(&id, NULL, loop, NULL) != 0)
			fail("thread");
	loop(NULL);
	/* The executors see the end of their sockets and leave. */
	_exit(0);
}
