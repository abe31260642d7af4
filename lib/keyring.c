#include "lib/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/multibase.h"

#define FILE_MAX   2048
#define NUMBER_MAX 1000000

/* --- names of files --- */

/* "secrets-3.key"; systemd puts the credential's name and _ before it when it loads a whole directory. */
static bool
name_parse(const char *name, enum secret_use *use, int *number)
{
	const char *last = strrchr(name, '_'), *p = last != NULL ? last + 1 : name;
	char *end;
	long n;
	int u;

	for (u = 0; u < SECRET_USE_COUNT; u++) {
		size_t len = strlen(secret_use_name((enum secret_use)u));

		if (strncmp(p, secret_use_name((enum secret_use)u), len) != 0 || p[len] != '-' || p[len + 1] < '1' ||
		    p[len + 1] > '9')
			continue;
		n = strtol(p + len + 1, &end, 10);
		if (strcmp(end, ".key") != 0 || n > NUMBER_MAX)
			return false;
		*use = (enum secret_use)u;
		*number = (int)n;
		return true;
	}
	return false;
}

struct found {
	enum secret_use use;
	int number;
	char *name;
};

static int
by_age(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->use != y->use ? (int)x->use - (int)y->use : y->number - x->number;
}

struct names {
	struct found item[KEYRING_MAX];
	size_t n;
};

static void
names_clear(struct names *f)
{
	while (f->n > 0)
		free(f->item[--f->n].name);
}

/* Key files of a directory, sorted as a keyring is.  A directory that is not there has none. */
static int
names_read(const char *dir, struct names *out, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	out->n = 0;
	if (d == NULL)
		return errno == ENOENT ? 0 : err_errno(e, "read %s", dir);
	while ((entry = readdir(d)) != NULL) {
		struct found f;

		if (!name_parse(entry->d_name, &f.use, &f.number))
			continue;
		if (out->n == KEYRING_MAX) {
			closedir(d);
			names_clear(out);
			return err_set(e, ERR_INPUT, "more than %d keys in %s; at-rund secret revoke removes one", KEYRING_MAX,
			    dir);
		}
		f.name = mem_str(entry->d_name);
		out->item[out->n++] = f;
	}
	closedir(d);
	qsort(out->item, out->n, sizeof *out->item, by_age);
	return 0;
}

bool
keyring_from_credentials(const char *credentials)
{
	struct names f;
	bool any;

	if (credentials == NULL || names_read(credentials, &f, NULL) != 0)
		return false;
	any = f.n > 0;
	names_clear(&f);
	return any;
}

/* --- who else could read or replace it --- */

/* Root, who may work on somebody's runner for them, takes the directory's owner as whose keys they are. */
static bool
is_ours(const struct stat *st, uid_t dir_owner)
{
	return st->st_uid == geteuid() || st->st_uid == 0 || (geteuid() == 0 && st->st_uid == dir_owner);
}

static int
check_open(const struct stat *st, const char *path, bool is_dir, bool lent, uid_t dir_owner, struct err *e)
{
	/* systemd lends a credential to our user by an ACL, whose mask stands where the group's rights do. */
	mode_t others = lent ? S_IRWXO : S_IRWXG | S_IRWXO;

	if (!is_ours(st, dir_owner))
		return err_named(e, ERR_DENIED, "KeyFileOpen", "%s belongs to another user (uid %u); as root: chown %u %s", path,
		    (unsigned)st->st_uid, (unsigned)geteuid(), path);
	if ((st->st_mode & others) != 0)
		return err_named(e, ERR_DENIED, "KeyFileOpen", "%s is open to others (mode %04o); mend it: chmod %s %s", path,
		    (unsigned)(st->st_mode & 07777), is_dir ? "700" : "600", path);
	return 0;
}

static int
check_dir(const char *dir, bool lent, uid_t *owner, struct err *e)
{
	struct stat st;

	if (lstat(dir, &st) != 0)
		return err_errno(e, "look at %s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_named(e, ERR_DENIED, "KeyFileOpen", "%s is no directory", dir);
	*owner = st.st_uid;
	return check_open(&st, dir, true, lent, st.st_uid, e);
}

/* --- one file --- */

static void
derive(struct keyring_key *k)
{
	uint8_t whole[crypto_sign_SECRETKEYBYTES];

	if (k->use == SECRET_USE_SECRETS) {
		crypto_scalarmult_base(k->public_key, k->secret_key);
	} else {
		crypto_sign_seed_keypair(k->public_key, whole, k->secret_key);
		sodium_memzero(whole, sizeof whole);
	}
	secret_key_print(k->use, k->public_key, k->text);
}

static int
parse_file(char *text, struct keyring_key *k)
{
	char *rest = text, *line;
	bool found = false;

	while ((line = strsep(&rest, "\n")) != NULL) {
		struct buf raw = BUF_INIT;

		if (strncmp(line, "made ", 5) == 0)
			k->made_at = secret_time_parse(line + 5);
		if (strncmp(line, "key ", 4) != 0)
			continue;
		buf_room(&raw, 256); /* no copies on the way */
		if (base64_parse(line + 4, strlen(line + 4), &raw) == 0 && raw.len == SECRET_KEY_BYTES) {
			memcpy(k->secret_key, raw.data, SECRET_KEY_BYTES);
			found = true;
		}
		secret_wipe(raw.data, raw.room);
		buf_clear(&raw);
	}
	return found && k->made_at >= 0 ? 0 : -1;
}

static int
read_key(const char *dir, const struct found *f, bool lent, uid_t owner, struct keyring_key *k, struct err *e)
{
	char *path = mem_fmt("%s/%s", dir, f->name), text[FILE_MAX + 1];
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rc = -1;
	struct stat st;
	ssize_t n;

	k->use = f->use;
	k->number = f->number;
	k->secret_key = sodium_malloc(SECRET_KEY_BYTES);
	if (k->secret_key == NULL)
		abort();
	if (fd < 0 || fstat(fd, &st) != 0) {
		err_errno(e, "open %s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_named(e, ERR_DENIED, "KeyFileOpen", "%s is no plain file", path);
		goto out;
	}
	if (check_open(&st, path, false, lent, owner, e) != 0)
		goto out;
	n = read(fd, text, FILE_MAX);
	text[n > 0 ? n : 0] = '\0';
	if (n <= 0 || parse_file(text, k) != 0) {
		err_set(e, ERR_INPUT, "%s is no key file of at-rund, or damaged: put a copy of it back, or remove it", path);
		goto out;
	}
	derive(k);
	rc = 0;
out:
	sodium_memzero(text, sizeof text);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

/* What root makes for somebody belongs to whom the directory around it does. */
static int
hand_over(int fd, const char *around, struct err *e)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (stat(around, &st) != 0 || fchown(fd, st.st_uid, st.st_gid) != 0)
		return err_errno(e, "give a key to the owner of %s", around);
	return 0;
}

/* keys/ and what is made in it. */
static int
make_dir(const char *dir, struct err *e)
{
	char *around = mem_fmt("%s/..", dir);
	int fd = -1, rc = 0;

	if (mkdir(dir, 0700) == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd >= 0 ? hand_over(fd, around, e) : err_errno(e, "open %s", dir);
	} else if (errno != EEXIST) {
		rc = err_errno(e, "make %s", dir);
	}
	if (fd >= 0)
		close(fd);
	free(around);
	return rc;
}

/* A file that is there whole or not at all, and never replaces one: 1 when there is one of that name. */
static int
write_key(const char *dir, enum secret_use use, int number, struct err *e)
{
	char *path = mem_fmt("%s/%s-%d.key", dir, secret_use_name(use), number), *tmp = mem_fmt("%s.new-%d", path, (int)getpid());
	uint8_t seed[SECRET_KEY_BYTES];
	struct buf text = BUF_INIT;
	char made[32];
	int fd = -1, rc = -1;

	secret_time_print(clock_wall_ms(), made);
	randombytes_buf(seed, sizeof seed);
	buf_room(&text, FILE_MAX);
	buf_fmt(&text, "# at-rund: a key of this runner for %s.  %s\nmade %s\nkey ", secret_use_name(use),
	    use == SECRET_USE_SECRETS ? "Whoever has it can open what is sealed for the runner." :
	    "Whoever has it can sign receipts in the runner's name.", made);
	base64_print(seed, sizeof seed, &text);
	buf_char(&text, '\n');
	unlink(tmp); /* of one that was cut short */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fsync(fd) != 0)
		err_errno(e, "write %s", tmp);
	else if (hand_over(fd, dir, e) != 0)
		rc = -1;
	else if (link(tmp, path) == 0)
		rc = 0;
	else
		rc = errno == EEXIST ? 1 : err_errno(e, "make %s", path);
	unlink(tmp);
	if (fd >= 0)
		close(fd);
	sodium_memzero(seed, sizeof seed);
	secret_wipe(text.data, text.room);
	buf_clear(&text);
	free(path);
	free(tmp);
	return rc;
}

static int
make_first(const char *dir, struct err *e)
{
	uid_t owner;
	int u, fd;

	if (make_dir(dir, e) != 0 || check_dir(dir, false, &owner, e) != 0)
		return -1;
	for (u = 0; u < SECRET_USE_COUNT; u++)
		if (write_key(dir, (enum secret_use)u, 1, e) < 0) /* somebody else may be making them too */
			return -1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return 0;
}

/* --- all of them --- */

struct keyring *
keyring_load(const char *dir, const char *credentials, bool make, struct err *e)
{
	struct names f = { .n = 0 };
	struct keyring *k = NULL;
	bool lent = keyring_from_credentials(credentials);
	uid_t owner = 0;
	size_t i;

	if (sodium_init() < 0) {
		err_set(e, ERR_INTERNAL, "libsodium cannot be used");
		return NULL;
	}
	if (lent)
		dir = credentials;
	if (names_read(dir, &f, e) != 0)
		return NULL;
	if (f.n == 0 && make && (make_first(dir, e) != 0 || names_read(dir, &f, e) != 0))
		return NULL;
	if (f.n == 0) {
		err_named(e, ERR_NOTFOUND, "NoKeys", "there are no keys in %s", dir);
		return NULL;
	}
	if (check_dir(dir, lent, &owner, e) != 0)
		goto out;
	k = mem_alloc(sizeof *k);
	for (i = 0; i < f.n; i++) {
		k->n++;
		if (read_key(dir, &f.item[i], lent, owner, &k->key[i], e) != 0) {
			keyring_free(k);
			k = NULL;
			break;
		}
	}
out:
	names_clear(&f);
	return k;
}

void
keyring_free(struct keyring *k)
{
	size_t i;

	if (k == NULL)
		return;
	for (i = 0; i < k->n; i++)
		sodium_free(k->key[i].secret_key);
	free(k);
}

const struct keyring_key *
keyring_find(const struct keyring *k, enum secret_use use, const char *text)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (k->key[i].use == use && (text == NULL || strcmp(k->key[i].text, text) == 0))
			return &k->key[i];
	return NULL;
}

static int
remove_file(const char *dir, const char *name, struct err *e)
{
	char *path = mem_fmt("%s/%s", dir, name);
	int rc = unlink(path) == 0 || errno == ENOENT ? 0 : err_errno(e, "remove %s", path);

	free(path);
	return rc;
}

int
keyring_rotate(const char *dir, enum secret_use use, int *number, struct err *e)
{
	struct names f = { .n = 0 };
	int kept = use == SECRET_USE_SECRETS ? KEYRING_LIVE - 1 : 0, rc = -1;
	uid_t owner;
	size_t i;

	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot be used");
	if (names_read(dir, &f, e) != 0)
		return -1;
	*number = 1;
	for (i = 0; i < f.n; i++)
		if (f.item[i].use == use && f.item[i].number >= *number)
			*number = f.item[i].number + 1;
	if (make_dir(dir, e) != 0 || check_dir(dir, false, &owner, e) != 0)
		goto out;
	if ((rc = write_key(dir, use, *number, e)) != 0) {
		rc = rc > 0 ? err_set(e, ERR_BUSY, "another rotation is under way") : -1;
		goto out;
	}
	rc = -1;
	for (i = 0; i < f.n; i++)
		if (f.item[i].use == use && kept-- <= 0 && remove_file(dir, f.item[i].name, e) != 0)
			goto out;
	rc = 0;
out:
	names_clear(&f);
	return rc;
}

int
keyring_revoke(const char *dir, const char *text, struct err *e)
{
	struct keyring *k = keyring_load(dir, NULL, false, e);
	const struct keyring_key *key = NULL;
	char name[64];
	int u, rc;

	if (k == NULL)
		return -1;
	for (u = 0; u < SECRET_USE_COUNT && key == NULL; u++)
		key = keyring_find(k, (enum secret_use)u, text);
	if (key == NULL) {
		rc = err_named(e, ERR_NOTFOUND, "UnknownKey", "the runner has no key %.60s", text);
	} else if (key == keyring_find(k, key->use, NULL)) {
		rc = err_named(e, ERR_DENIED, "NewestKey", "that is the newest key for %s; make another first: "
		    "at-rund secret rotate%s", secret_use_name(key->use),
		    key->use == SECRET_USE_RECEIPTS ? " --receipts" : "");
	} else {
		snprintf(name, sizeof name, "%s-%d.key", secret_use_name(key->use), key->number);
		rc = remove_file(dir, name, e);
	}
	keyring_free(k);
	return rc;
}

/* --- signatures --- */

void
keyring_sign(const struct keyring_key *k, const void *p, size_t n, uint8_t sig[KEYRING_SIGNATURE])
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES], whole[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(public_key, whole, k->secret_key);
	crypto_sign_detached(sig, NULL, p, n, whole);
	sodium_memzero(whole, sizeof whole);
}

bool
keyring_verify(const uint8_t public_key[SECRET_KEY_BYTES], const void *p, size_t n, const uint8_t sig[KEYRING_SIGNATURE])
{
	return sodium_init() >= 0 && crypto_sign_verify_detached(sig, p, n, public_key) == 0;
}
