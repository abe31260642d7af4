#include "scheduler/ration.h"

#include "tests/t.h"

TEST(an_author_prints_so_much_in_an_hour)
{
	struct ration *r = ration_new(100);
	int64_t hour = 3600000;

	CHECK_INT(ration_take(r, "did:plc:a", 60, 1000), RATION_GIVEN);
	CHECK_INT(ration_take(r, "did:plc:b", 100, 1000), RATION_GIVEN);
	CHECK_INT(ration_take(r, "did:plc:a", 41, 1000), RATION_OVER);
	CHECK_INT(ration_take(r, "did:plc:a", 41, 1000), RATION_NONE);
	CHECK_INT(ration_take(r, "did:plc:b", 1, 1000), RATION_OVER);
	/* a shorter line may still fit, and an hour later any */
	CHECK_INT(ration_take(r, "did:plc:a", 40, 1000), RATION_GIVEN);
	CHECK_INT(ration_take(r, "did:plc:a", 100, 1000 + hour), RATION_GIVEN);
	CHECK_INT(ration_take(r, "did:plc:c", 100, 1000 + hour), RATION_GIVEN); /* in b's place */
	CHECK_INT(ration_take(r, "did:plc:b", 100, 1000 + hour), RATION_GIVEN);
	ration_free(r);
}
