#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "tests/t.h"

static int kept;
static const char *path;

static void
catch_stderr(void)
{
	int fd;

	path = mem_fmt("%s/log", t_tmpdir());
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	kept = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	clock_freeze(1700000000123, 5);
}

static char *
caught(void)
{
	char *text;

	dup2(kept, STDERR_FILENO);
	close(kept);
	clock_freeze(-1, -1);
	log_open("test", LOG_INFO, false);
	text = t_read_file(path, NULL);
	free((char *)path);
	return text;
}

TEST(log_text_is_one_line_an_event)
{
	char *text;

	catch_stderr();
	log_open("scheduler", LOG_INFO, false);
	log_info("job done", "job=%d why=%s", 7, log_q("it \"broke\"\nhere"));
	log_debug("unheard", "x=1");
	text = caught();
	CHECK_STR(text, "2023-11-14T22:13:20.123Z info scheduler: job done job=7 why=\"it \\\"broke\\\"\\u000ahere\"\n");
	free(text);
}

TEST(log_json_is_json_whatever_the_values)
{
	cJSON *j;
	char *text;

	catch_stderr();
	log_open("fcgi", LOG_DEBUG, true);
	log_warn("odd", "a=%s b=%s c=%s d=plain", log_q("two words"), log_q(""), log_q("back\\slash \x01 \"q\""));
	text = caught();
	j = cJSON_Parse(text);
	CHECK(j != NULL);
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "level")->valuestring, "warn");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "program")->valuestring, "fcgi");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "message")->valuestring, "odd");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "a")->valuestring, "two words");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "b")->valuestring, "");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "c")->valuestring, "back\\slash \x01 \"q\"");
	CHECK_STR(cJSON_GetObjectItemCaseSensitive(j, "d")->valuestring, "plain");
	cJSON_Delete(j);
	free(text);
}

TEST(log_values_of_any_length_stay_one_line)
{
	char *text, *longer = mem_alloc(5001);

	memset(longer, '\n', 5000);
	catch_stderr();
	log_open("x", LOG_INFO, false);
	log_info("long", "v=%s", log_q(longer));
	text = caught();
	CHECK(strchr(text, '\n') == text + strlen(text) - 1);
	free(text);
	free(longer);
}

TEST(log_levels_have_words)
{
	CHECK_INT(log_level_parse("error"), LOG_ERROR);
	CHECK_INT(log_level_parse("debug"), LOG_DEBUG);
	CHECK_INT(log_level_parse("loud"), -1);
}
