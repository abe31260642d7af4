#include <string.h>

#include "lib/clock.h"
#include "tests/t.h"

TEST(clocks_go_forward_and_know_their_units)
{
	int64_t a = clock_mono_us(), b = clock_mono_us();

	CHECK(b >= a);
	CHECK(clock_mono_ms() - a / 1000 < 60000);
	CHECK(clock_wall_ms() > 1700000000000);
	CHECK(clock_wall_ms() < 10000000000000);
}

TEST(clocks_stand_still_when_told)
{
	clock_freeze(123456789, 1000);
	CHECK(clock_wall_ms() == 123456789 && clock_mono_ms() == 1000 && clock_mono_us() == 1000000);
	clock_freeze(-1, -1);
	CHECK(clock_wall_ms() != 123456789);
}

TEST(the_boot_has_an_id)
{
	CHECK_INT(strlen(clock_boot_id()), 36);
	CHECK_STR(clock_boot_id(), clock_boot_id());
}
