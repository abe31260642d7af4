/* Files of age: those that the age of Debian 12 made, and our own. */
#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/age.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/strongbox.h"

#define SECRET_1 "AGE-SECRET-KEY-1FVXNVV73AKPJG6QN0Q8WWFNLCGZ0VSPD3KCF5C363M57DRUFR8LSHERM85"
#define PUBLIC_1 "age1vraa96f83q52tny2qz6p0klmzlsszhn5vdy4r36ur747dyd7ts6q7qx00m"
#define SECRET_2 "AGE-SECRET-KEY-1SM9CJ4RLX4NTF4F4VQRSNDW2TUH23M4WP3QH7YYFCPZD8CMMYUMQZ4A33Q"
#define PUBLIC_2 "age1phk7e86jgmh4usdw2puqskfgjtyju6nyt2a7cfapalxklvkz3ylq8pulph"
#define BIG      200000

/* printf 'sealed by age' | age -r PUBLIC_2 -r PUBLIC_1 (age 1.1.1) */
static const char theirs[] =
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBxcjIwNUJqcGZjcERMckdoemNTTUhjV2F2MS9DT2RqOVFUWXAveUY0MEM0"
    "CnMvMlM3THJXZk9hSGlHSTlrQ0tGdVJnYXFrTEQxM1dMK1QrYytkZ0JDMU0KLT4gWDI1NTE5IFNvbEFlWlZVWkRrZ2h4OVI2T0VR"
    "eXJmUWNqeVpvU1QxOUw4N2lCRHU1U2MKc2RJTzlraXVtL0dwSk9iZXlSV0Q1bHRjamdaUDFxVVBpRm9yaWJqMVY4cwotLS0gUG1K"
    "ODRxNHU1dkVGQWtJekl5bmIwSy93N25TQ0dZYzBGd1I4a2dVaWozQQosWTGClvfLra2Jp4U57qpXrWDcbaYIhm35be7fv6wA1JAn"
    "kCsrUeaJj87Aq58=";

static int
file_of(const void *p, size_t n)
{
	char path[] = "/tmp/at-rund-age-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	CHECK(write(fd, p, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static int
opened(int fd, const char *identity, struct buf *out, struct err *e)
{
	struct age_keys ids;
	struct strongbox *v;
	char block[5000];
	ssize_t n = 0;

	*e = (struct err)ERR_INIT;
	buf_reset(out);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK_INT(age_identities(&ids, identity, e), 0);
	v = strongbox_open_with(fd, &ids, e);
	while (v != NULL && (n = strongbox_read(v, block, sizeof block, e)) > 0)
		buf_add(out, block, (size_t)n);
	strongbox_free(v);
	return v != NULL && n == 0 ? 0 : -1;
}

TEST(a_file_of_age_opens_for_each_of_its_recipients)
{
	struct buf file = BUF_INIT, got = BUF_INIT;
	struct err e = ERR_INIT;
	int fd;

	CHECK_INT(base64_parse(theirs, sizeof theirs - 1, &file), 0);
	fd = file_of(file.data, file.len);
	CHECK_INT(strongbox_kind(fd), STRONGBOX_AGE);
	CHECK_INT(opened(fd, "# created: today\n# public key: " PUBLIC_1 "\n" SECRET_1 "\n", &got, &e), 0);
	CHECK(got.len == 13 && memcmp(got.data, "sealed by age", 13) == 0);
	CHECK_INT(opened(fd, SECRET_2, &got, &e), 0);
	CHECK_INT(got.len, 13);
	/* Whatever is changed in it, it does not open; a bit of the stanza of another recipient is in the MAC as well. */
	for (size_t i = 0; i < file.len; i++) {
		char is = (char)(file.data[i] ^ 1);

		CHECK(pwrite(fd, &is, 1, (off_t)i) == 1);
		CHECK_INT(opened(fd, SECRET_1, &got, &e), -1);
		CHECK(pwrite(fd, &file.data[i], 1, (off_t)i) == 1);
	}
	for (size_t n = 0; n < file.len; n++) {
		CHECK(ftruncate(fd, (off_t)n) == 0);
		CHECK_INT(opened(fd, SECRET_1, &got, &e), -1);
		CHECK(pwrite(fd, file.data, file.len, 0) == (ssize_t)file.len);
	}
	CHECK(pwrite(fd, "x", 1, (off_t)file.len) == 1);
	CHECK_INT(opened(fd, SECRET_1, &got, &e), -1);
	close(fd);
	buf_clear(&file);
	buf_clear(&got);
}

static int
sealed_for(const char *recipients, const char *data, size_t n)
{
	struct err e = ERR_INIT;
	struct age_keys to;
	struct strongbox *v;
	int fd = file_of("", 0);

	CHECK_INT(age_recipients(&to, recipients, &e), 0);
	v = strongbox_seal_for(fd, &to, &e);
	CHECK(v != NULL);
	for (size_t i = 0; i < n; i += 7777)
		CHECK_INT(strongbox_write(v, data + i, n - i < 7777 ? n - i : 7777, &e), 0);
	CHECK_INT(strongbox_finish(v, &e), 0);
	strongbox_free(v);
	return fd;
}

TEST(what_is_sealed_for_recipients_comes_back_and_is_whole)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 131072, BIG };
	char *p = mem_alloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 31 + (i >> 9));
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct buf got = BUF_INIT;
		struct err e = ERR_INIT;
		int fd = sealed_for(i % 2 == 0 ? PUBLIC_1 : PUBLIC_2 ", " PUBLIC_1, p, sizes[i]);
		struct stat st;

		CHECK_INT(opened(fd, SECRET_1, &got, &e), 0);
		CHECK_INT(got.len, sizes[i]);
		CHECK(got.len == 0 || memcmp(got.data, p, got.len) == 0);
		if (i % 2 == 0) {
			CHECK_INT(opened(fd, SECRET_2, &got, &e), -1);
			CHECK_STR(e.name, "WrongIdentity");
		}
		CHECK(fstat(fd, &st) == 0);
		if (sizes[i] == BIG) { /* cut at the end of a piece: no piece but the last is marked as the last */
			CHECK(ftruncate(fd, st.st_size - BIG % 65536 - 16) == 0);
			CHECK_INT(opened(fd, SECRET_1, &got, &e), -1);
			CHECK_INT(e.kind, ERR_INPUT);
		}
		close(fd);
		buf_clear(&got);
	}
	free(p);
}

TEST(keys_of_age_are_read_strictly)
{
	static const char *const bad[] = { "", "# only words\n", "age1", "age1phk7e86jgmh4usdw2puqskfgjtyju6nyt2a7cfapalxklvkz3ylq8pulpx",
		"age1phk7e86jgmh4usdw2puqskfgjtyju6nyt2a7cfapalxklvkz3ylq8pulp", PUBLIC_1 "q", SECRET_1, "ssh-ed25519 AAAAC3",
		"Age1phk7e86jgmh4usdw2puqskfgjtyju6nyt2a7cfapalxklvkz3ylq8pulph",
		"AGE1PHK7E86JGMH4USDW2PUQSKFGJTYJU6NYT2A7CFAPALXKLVKZ3YLQ8PULPH", PUBLIC_1 "\n" SECRET_1 };
	struct age_keys k;
	struct err e;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		e = (struct err)ERR_INIT;
		CHECK_INT(age_recipients(&k, bad[i], &e), -1);
		CHECK_INT(e.kind, ERR_INPUT);
		CHECK(strstr(e.text, SECRET_1) == NULL);
	}
	CHECK_INT(age_identities(&k, PUBLIC_1, &e), -1);
	CHECK_INT(age_identities(&k, "age-secret-key-1fvxnvv73akpjg6qn0q8wwfnlcgz0vspd3kcf5c363m57drufr8lsherm85", &e), -1);
	CHECK_INT(age_identities(&k, SECRET_1 "\r\n" SECRET_2, &e), 0);
	CHECK_INT(k.n, 2);
}
